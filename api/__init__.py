"""The REST interface: validates, publishes requests, reads job records. Loads no models, touches no files."""
