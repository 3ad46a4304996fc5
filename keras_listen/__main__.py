"""Run the command line with `python -m keras_listen`."""

from .cli import main

if __name__ == "__main__":
    main()
