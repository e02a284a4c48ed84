"""What can go wrong between a client and the service, on real sockets."""
