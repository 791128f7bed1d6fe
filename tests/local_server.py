"""A server on this machine that serves, cuts, corrupts and refuses, for tests of downloads."""

import http.server
import re
import threading
import time


class Server:
    """A server on this machine. `files[path] = (content, how)`; `asked` lists the paths that were asked for, `ranges`
    the Range of each. how may be a list: one word for each request, the last for all that follow. "pieces" sends the
    range that is asked for, 30 kB of it at a time, unless If-Range names another version than `version`."""

    def __init__(self):
        self.files, self.asked, self.ranges, self.version = {}, [], [], '"one"'
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                outer.asked.append(self.path)
                content, how = outer.files.get(self.path, (b"", "refuse"))
                outer.ranges.append(self.headers.get("Range"))
                if isinstance(how, list):
                    how = how.pop(0) if len(how) > 1 else how[0]
                if how in ("pieces", "whole piece"):
                    return self.pieces(content, 30_000 if how == "pieces" else None)
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

            def pieces(self, content, longest):
                wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or "")
                if self.headers.get("If-Range") not in (None, outer.version):
                    wanted = None
                start = int(wanted[1]) if wanted else 0
                if start >= len(content):
                    return self.send_error(416)
                self.send_response(206 if wanted else 200)
                if wanted:
                    self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
                self.send_header("Content-Length", str(len(content) - start))
                self.send_header("ETag", outer.version)
                self.end_headers()
                self.wfile.write(content[start:][:longest])

            def log_message(self, *args):
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, args=(0.05,), daemon=True).start()

    def serve(self, path, content, how="right"):
        self.files[path] = (content, how)
        return self.url + path
