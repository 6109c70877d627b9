"""The HTTP/JSON face: each route is a method of the protocol, answered by the handler that answers gRPC."""
