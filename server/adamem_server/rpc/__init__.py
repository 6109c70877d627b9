"""The gRPC face of the engine: decode, check, call, encode. No business rule; alone knows grpc and protobuf."""
