"""google.rpc's messages of errors: those of googleapis-common-protos where it is installed, else the copy in `rpc`.

The copy is generated from the files of that package, which are under the Apache License 2.0 (LICENSE beside this file);
both describe the same messages, so that either can be there first.
"""

try:
    from google.rpc import error_details_pb2, status_pb2
except ImportError:
    from adamem._google.rpc import error_details_pb2, status_pb2

__all__ = ["error_details_pb2", "status_pb2"]
