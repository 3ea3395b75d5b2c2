"""Documents of both interfaces: OpenAPI for REST, AsyncAPI for the streams, and HTML made from them."""
