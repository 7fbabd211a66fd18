"""What `make benchmark` measures, a module for each question; `tests.benchmark` prints it."""
