"""Files from outside, read once into the model's words; every fault of a file is told at once."""
