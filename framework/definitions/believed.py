"""Headers that many back ends believe: who called, from where, and what the request really is.

The one rule: **only a proxy may say these**, so a gateway that lets a client say them lets the client choose
its own identity. The names are those that widely used proxies and frameworks set or read.
"""

from __future__ import annotations

import re

NAMES = frozenset(
    (
        # another method, path or host than the request has
        "x-http-method-override",
        "x-method-override",
        "x-http-method",
        "x-rewrite-url",
        "x-rewrite-path",
        "x-host",
        "x-http-host-override",
        "x-middleware-subrequest",
        "x-sendfile-type",
        "x-accel-mapping",
        "script-name",
        "path-info",
        # the address of the client
        "x-real-ip",
        "x-client-ip",
        "client-ip",
        "true-client-ip",
        "cf-connecting-ip",
        "cf-connecting-ipv6",
        "cf-pseudo-ipv4",
        "do-connecting-ip",
        "fastly-client-ip",
        "fly-client-ip",
        "proxy-client-ip",
        "wl-proxy-client-ip",
        "x-cluster-client-ip",
        "x-nf-client-connection-ip",
        "x-originating-ip",
        "x-proxyuser-ip",
        "x-appengine-user-ip",
        "x-azure-clientip",
        "x-azure-socketip",
        "x-forwarded",
        "forwarded-for",
        "forwarded-for-ip",
        # who was authenticated
        "auth-user",
        "x-auth-user",
        "x-auth-username",
        "x-authenticated-user",
        "x-authenticated-userid",
        "x-authenticated-groups",
        "x-proxy-user",
        "x-anonymous-consumer",
        "x-userinfo",
        "x-ms-client-principal",
        # TLS that ended before
        "client-cert",
        "client-cert-chain",
        "front-end-https",
        "x-arr-clientcert",
        "x-arr-ssl",
        "x-https",
        "x-scheme",
        "x-url-scheme",
        # becomes HTTP_PROXY in CGI, which is the proxy of what runs there
        "proxy",
    )
)

# A family is believed whole: its members differ from proxy to proxy.
PREFIXES = (
    "cf-access-",
    "remote-",
    "ssl-client-",
    "tailscale-user-",
    "x-amzn-mtls-",
    "x-amzn-oidc-",
    "x-auth-request-",
    "x-authentik-",
    "x-client-cert",
    "x-client-dn",
    "x-client-ssl-",
    "x-client-verify",
    "x-consumer-",
    "x-credential-",
    "x-envoy-",
    "x-forwarded-",
    "x-goog-authenticated-user-",
    "x-ms-client-principal-",
    "x-original-",
    "x-pomerium-",
    "x-remote-",
    "x-ssl-",
    "x-tls-",
    "x-vouch-",
    "x-webauth-",
)

# What the gateway itself says of the client, so nobody else can.
SAID_BY_THE_GATEWAY = frozenset(("forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto"))

TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # the name of a header (RFC 9110, 5.6.2)

# CGI makes variables of headers (RFC 3875, 4.1.18): ``-`` becomes ``_``, and many servers make ``_`` of whatever
# else may stand in a name but letters and digits, so that ``X.Account`` is ``X-Account`` to what runs there.
SEPARATORS = "-_.!#$%&'*+^`|~"
_ALIKE = str.maketrans(dict.fromkeys(SEPARATORS, "-"))
_ALIKE_BYTES = bytes.maketrans(SEPARATORS.encode(), b"-" * len(SEPARATORS))


def plain(name: str) -> str:
    """The name as it is compared: CGI and WSGI tell neither its case nor one separator from another."""
    return name.lower().translate(_ALIKE)


def plain_bytes(name: bytes) -> bytes:
    """The same of a name that is in lower case already."""
    return name.translate(_ALIKE_BYTES)


def is_believed(name: str) -> bool:
    """Does a back end of some kind believe this header? ``name`` is plain."""
    return name in NAMES or name.startswith(PREFIXES)
