"""Settings and weights chosen by trying: spaces, algorithms that need no gradient, and a journal of trials."""
