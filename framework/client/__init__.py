"""What requests to other servers share: TLS, interim responses and content codings."""
