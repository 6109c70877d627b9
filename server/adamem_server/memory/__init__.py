"""The engine: namespaces as shards, one writer, filters, scores. It knows no transport and no storage format."""
