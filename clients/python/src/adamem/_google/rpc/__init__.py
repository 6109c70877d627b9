"""Generated from google/rpc; see the package above."""
