"""The package file: a namespace as one zip that can be read without us. Reads and writes it; knows no store."""
