"""A server on this machine that serves, cuts, corrupts and refuses, for tests of downloads."""

import http.server
import threading
import time


class Server:
    """A server on this machine. `files[path] = (content, how)`; `asked` lists the paths that were asked for."""

    def __init__(self):
        self.files, self.asked = {}, []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                outer.asked.append(self.path)
                content, how = outer.files.get(self.path, (b"", "refuse"))
                if how in ("refuse", "not found"):
                    return self.send_error(503 if how == "refuse" else 404)
                if how == "slow":
                    time.sleep(0.3)
                if how == "silent":
                    time.sleep(1.5)
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                if how == "cut":
                    content = content[: len(content) // 2]
                if how == "corrupt":
                    content = content[:-1] + bytes([content[-1] ^ 1])
                self.wfile.write(content)

            def log_message(self, *args):
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, args=(0.05,), daemon=True).start()

    def serve(self, path, content, how="right"):
        self.files[path] = (content, how)
        return self.url + path
