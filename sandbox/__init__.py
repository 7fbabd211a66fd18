"""Stand-ins that speak the services' protocols on loopback: real servers, real HTTP and gRPC, no cloud."""
