"""`python -m pyprocessor`."""

from pyprocessor.cli.console import main

# Guarded because start methods other than fork import the main module again in every child.
if __name__ == "__main__":
    main()
