"""Generated from proto/adamem/v1 by `make proto`; messages and services as they travel."""
