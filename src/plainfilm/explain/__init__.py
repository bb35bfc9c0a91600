"""Where in a film a model's evidence lies, drawn on the film, and what can be said for or against such a picture."""
