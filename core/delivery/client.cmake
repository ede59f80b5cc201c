# The SMTP and LMTP client, and the resolver.
list(APPEND DEMIT_DELIVERY_SOURCES
  delivery.c client_body.c client_command.c client_dialogue.c client_encode.c client_outcome.c client_peer.c client_reply.c
  client_session.c resolver.c resolver_cache.c route.c smtp_batch.c smtp_transport.c)
