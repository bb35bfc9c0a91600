"""What is wrong with a data set before anything is trained on it, and whether another set is like it."""
