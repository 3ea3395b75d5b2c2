"""Receives webhooks and prints the jobs that have ended.

python receiver.py PORT SECRET
"""

import sys
from http.server import BaseHTTPRequestHandler, HTTPServer

from faces_client import NotGenuine, received

port, secret = int(sys.argv[1]), sys.argv[2]


class Receiver(BaseHTTPRequestHandler):
    """Accepts genuine deliveries only."""

    def do_POST(self) -> None:
        """Handles a delivery."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        try:
            end = received(body, self.headers, secret)
        except NotGenuine:
            self.send_error(401)
        else:
            print(end.data.job_id, end.data.status, flush=True)
            self.send_response(204)
            self.end_headers()


HTTPServer(("127.0.0.1", port), Receiver).serve_forever()
