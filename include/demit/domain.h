/*
 * One name for every domain. An internationalized domain can be written in several ways: U-labels, A-labels, both
 * mixed, any case (RFC 5890 section 2.3.2.1). What compares, looks up or names a file by a domain uses the form made
 * here.
 */
#ifndef DEMIT_DOMAIN_H
#define DEMIT_DOMAIN_H

#include <stddef.h>

/* A domain, 255 octets at most (RFC 5321 section 4.5.3.1.2), and its NUL. */
enum { DEMIT_DOMAIN_SIZE = 256 };

/*
 * Writes DOMAIN, SIZE bytes of it, into ASCII as A-labels in lower case (IDNA2008, RFC 5891; case and width mapped by
 * UTS #46, non-transitional: a sharp s stays one). An address literal stays itself, in lower case. Underscores pass.
 * Returns NULL; or, when DOMAIN is no domain, what is wrong, for people and constant: then ASCII holds "".
 *
 * ASCII is done without a library and without memory; of its A-labels nothing is checked but the letters, because a
 * name that the DNS holds is good enough. What is not ASCII may allocate. Any thread; no lock, no locale.
 */
const char *demit_domain_to_ascii(char ascii[DEMIT_DOMAIN_SIZE], const char *domain, size_t size)
    __attribute__((warn_unused_result));

#endif
