"""The documents that describe both interfaces: OpenAPI for REST, AsyncAPI for the streams, HTML for people."""
