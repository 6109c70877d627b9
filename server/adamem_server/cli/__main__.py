"""Runs the command line as `python -m adamem_server.cli`."""

from adamem_server.cli.main import main

if __name__ == "__main__":
    main(prog_name="adamem")
