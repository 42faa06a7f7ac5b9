"""Tools behind servers: those of MCP servers, and single HTTP operations, told of in one file of the user's."""
