"""Signs the calls on standard input with botocore, under a fixed clock."""
import datetime
import json
import sys

import botocore.auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

job = json.load(sys.stdin)
clock = datetime.datetime.fromisoformat(job["clock"])


def fixed(remove_tzinfo=True):
    return clock.replace(tzinfo=None) if remove_tzinfo else clock


botocore.auth.get_current_datetime = fixed
out = []
for c in job["calls"]:
    creds = Credentials(job["key"], job["secret"], c["token"] or None)
    request = AWSRequest(c["method"], "http://" + job["host"] + c["target"], data=c["body"].encode() or None)
    for k, v in c["headers"]:
        request.headers[k] = v
    s3 = c["service"] == "s3"
    kinds = {
        (False, False): botocore.auth.SigV4Auth,
        (False, True): botocore.auth.SigV4QueryAuth,
        (True, False): botocore.auth.S3SigV4Auth,
        (True, True): botocore.auth.S3SigV4QueryAuth,
    }
    try:
        kinds[s3, c["presign"]](creds, c["service"], job["region"]).add_auth(request)
        headers = [[k, v] for k, v in request.headers.items()]
        target = request.url[len("http://" + job["host"]):]
        out.append({"name": c["name"], "target": target, "headers": headers})
    except Exception as e:
        out.append({"name": c["name"], "error": repr(e)})
json.dump(out, sys.stdout)
