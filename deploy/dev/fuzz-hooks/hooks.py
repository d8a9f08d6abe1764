"""Each call comes from another address: calls without a key are limited by address, and the limit is not what is tested."""
import ipaddress
import itertools

import schemathesis

NETWORK = ipaddress.ip_network("198.18.0.0/15")
COUNT = itertools.count()


@schemathesis.hook
def before_call(context, case, kwargs):
    address = NETWORK[next(COUNT) % NETWORK.num_addresses]
    case.headers = {**(case.headers or {}), "X-Forwarded-For": str(address)}
