"""`python -m ccsync`."""

from ccsync.cli import main

if __name__ == "__main__":
    main()
