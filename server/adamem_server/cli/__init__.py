"""The command line: `adamem`. Each command parses, calls the Python client and prints."""
