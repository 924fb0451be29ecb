"""Headers that many back ends trust: who called, from where, and what the request really is.

The one rule: **only a proxy may set these.** A gateway that passes them on from a client lets the client choose its
own identity. The names are those that widely used proxies and frameworks set or read.
"""

from __future__ import annotations

import re

NAMES = frozenset(
    (
        # override the method, path or host of the request
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
        # TLS that ended at an earlier proxy
        "client-cert",
        "client-cert-chain",
        "front-end-https",
        "x-arr-clientcert",
        "x-arr-ssl",
        "x-https",
        "x-scheme",
        "x-url-scheme",
        # becomes HTTP_PROXY in CGI, and with it the proxy of the script
        "proxy",
    )
)

# All headers of a family count: the members differ from proxy to proxy.
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

# What the gateway itself says about the client. Nobody else may say it.
SAID_BY_THE_GATEWAY = frozenset(("forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto"))

TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # the name of a header (RFC 9110, 5.6.2)

# CGI makes variables of headers (RFC 3875, 4.1.18): ``-`` becomes ``_``, and many servers make ``_`` of whatever
# else may stand in a name but letters and digits, so that ``X.Account`` is ``X-Account`` to what runs there.
SEPARATORS = "-_.!#$%&'*+^`|~"
_ALIKE = str.maketrans(dict.fromkeys(SEPARATORS, "-"))
_ALIKE_BYTES = bytes.maketrans(SEPARATORS.encode(), b"-" * len(SEPARATORS))


def plain(name: str) -> str:
    """The form in which names are compared: CGI and WSGI ignore the case and the kind of separator."""
    return name.lower().translate(_ALIKE)


def plain_bytes(name: bytes) -> bytes:
    """The same for a name that is already in lower case."""
    return name.translate(_ALIKE_BYTES)


def is_believed(name: str) -> bool:
    """Do some back ends trust this header? ``name`` is plain."""
    return name in NAMES or name.startswith(PREFIXES)
