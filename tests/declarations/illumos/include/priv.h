/* illumos: <priv.h>, and <sys/priv.h>, which it includes. */
#ifndef ILLUMOS_PRIV_H
#define ILLUMOS_PRIV_H

#include <sys/types.h>

/* privileges(7), setppriv(2) */
typedef struct priv_set priv_set_t; /* opaque: priv_allocset() makes one */
typedef const char *priv_ptype_t, *priv_t;
typedef enum priv_op { PRIV_ON, PRIV_OFF, PRIV_SET } priv_op_t;
#define PRIV_EFFECTIVE       ((const char *)"Effective")
#define PRIV_INHERITABLE     ((const char *)"Inheritable")
#define PRIV_PERMITTED       ((const char *)"Permitted")
#define PRIV_LIMIT           ((const char *)"Limit")
#define PRIV_FILE_DAC_SEARCH ((const char *)"file_dac_search")
#define PRIV_NET_PRIVADDR    ((const char *)"net_privaddr")
#define PRIV_PROC_CHROOT     ((const char *)"proc_chroot")
#define PRIV_PROC_FORK       ((const char *)"proc_fork")
#define PRIV_PROC_SETID      ((const char *)"proc_setid")
int setppriv(priv_op_t op, priv_ptype_t which, const priv_set_t *set);
int getppriv(priv_ptype_t which, priv_set_t *set);

/* getpflags(2), which describes setpflags() too */
#define PRIV_AWARE     0x0002
#define __PROC_PROTECT 0x0008 /* in <sys/priv.h>, and in no manual page */
uint_t getpflags(uint_t flag);
int setpflags(uint_t flag, uint_t value);

/* priv_addset(3C), which describes all of these */
priv_set_t *priv_allocset(void);
void priv_freeset(priv_set_t *set);
void priv_emptyset(priv_set_t *set);
void priv_fillset(priv_set_t *set);
void priv_copyset(const priv_set_t *source, priv_set_t *target);
void priv_intersect(const priv_set_t *source, priv_set_t *target);
void priv_union(const priv_set_t *source, priv_set_t *target);
int priv_addset(priv_set_t *set, const char *name);
int priv_delset(priv_set_t *set, const char *name);
boolean_t priv_ismember(const priv_set_t *set, const char *name);
boolean_t priv_isemptyset(const priv_set_t *set);
boolean_t priv_isfullset(const priv_set_t *set);
boolean_t priv_isequalset(const priv_set_t *one, const priv_set_t *other);
boolean_t priv_issubset(const priv_set_t *part, const priv_set_t *whole);

/* priv_set(3C) */
boolean_t priv_ineffect(const char *name);

/* priv_str_to_set(3C), which describes all of these */
#define PRIV_STR_PORT  0x00
#define PRIV_STR_LIT   0x01
#define PRIV_STR_SHORT 0x02
priv_set_t *priv_str_to_set(const char *text, const char *separators, const char **end);
char *priv_set_to_str(const priv_set_t *set, char separator, int flag);
int priv_getbyname(const char *name);
const char *priv_getbynum(int number);

#endif
