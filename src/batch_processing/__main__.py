"""`python -m batch_processing` is the command `lote`."""

from .ui.cli import main

if __name__ == "__main__":
    main()
