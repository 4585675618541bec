"""A bearer token that is fetched anew when it is refused."""

import os
import urllib.request

import httpx2


class Renewing(httpx2.Auth):
    def __init__(self):
        self.token = os.environ["DEED_TOKEN"]
        self.renewed = 0

    def auth_flow(self, request):
        request.headers["Authorization"] = f"Bearer {self.token}"
        response = yield request
        if response.status_code == 401:
            with urllib.request.urlopen(os.environ["DEED_TOKENS"]) as fresh:
                self.token = fresh.read().decode()
            self.renewed += 1
            request.headers["Authorization"] = f"Bearer {self.token}"
            yield request
