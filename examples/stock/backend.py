"""The stock of a shop, as a back end that was there before: `python backend.py 8101`. It knows nothing of tokens.

GET /items/NAME answers {"name", "count", "host"}; POST /items/NAME/take with {"count"} takes pieces away.
"""

from __future__ import annotations

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

STOCK = {"tea": 12, "green tea": 3, "cups": 0}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        name = unquote(self.path.removeprefix("/items/"))
        if name in STOCK:
            self._answer(200, {"name": name, "count": STOCK[name], "host": self.headers["Host"]})
        else:
            self._answer(404, {"error": "no such item"})

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))))
        name = unquote(self.path.removeprefix("/items/").removesuffix("/take"))
        if STOCK.get(name, 0) < asked["count"]:
            self._answer(409, {"error": "not enough", "left": STOCK.get(name, 0)})
            return
        STOCK[name] -= asked["count"]
        self._answer(200, {"name": name, "left": STOCK[name]})

    def _answer(self, code: int, content: dict[str, object]) -> None:
        body = json.dumps(content).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
