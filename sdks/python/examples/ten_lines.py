"""Publishes, asks who is online, and goes on when one of the servers dies."""

import os
import time

from cometql import Client

with Client.connect(os.environ["COMETQL_HOSTS"].split(","), "root", os.environ["COMETQL_KEY"]) as client:
    for number in range(60):
        sent = client.publish("web_news", {"number": number})
        print(number, "reached", sent.reached, "online:", client.online([7, 8]), flush=True)
        time.sleep(0.05)
