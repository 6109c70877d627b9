"""Memory for agents that speak the Model Context Protocol: tools and resources over one fixed scope of a server."""
