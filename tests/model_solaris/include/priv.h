/*
 * A model's <priv.h>: what os/solaris calls, as setppriv(2), getppriv(2), setpflags(2), priv_addset(3C), priv_set(3C)
 * and priv_str_to_set(3C) declare it. The model itself is described in model.h.
 */
#ifndef MODEL_SOLARIS_PRIV_H
#define MODEL_SOLARIS_PRIV_H

/* On Solaris these stand in <sys/types.h>. */
typedef enum { B_FALSE, B_TRUE } boolean_t;
typedef unsigned int uint_t;

typedef struct priv_set priv_set_t;
typedef const char *priv_ptype_t, *priv_t;
typedef enum priv_op { PRIV_ON, PRIV_OFF, PRIV_SET } priv_op_t;

#define PRIV_EFFECTIVE   "Effective"
#define PRIV_INHERITABLE "Inheritable"
#define PRIV_PERMITTED   "Permitted"
#define PRIV_LIMIT       "Limit"

#define PRIV_FILE_DAC_SEARCH "file_dac_search"
#define PRIV_NET_PRIVADDR    "net_privaddr"
#define PRIV_PROC_CHROOT     "proc_chroot"
#define PRIV_PROC_FORK       "proc_fork"
#define PRIV_PROC_SETID      "proc_setid"

enum { PRIV_STR_PORT, PRIV_STR_LIT, PRIV_STR_SHORT };
enum { PRIV_AWARE = 0x0002, __PROC_PROTECT = 0x0008 };

int setppriv(priv_op_t op, priv_ptype_t which, const priv_set_t *set);
int getppriv(priv_ptype_t which, priv_set_t *set);
int setpflags(uint_t flag, uint_t value);
uint_t getpflags(uint_t flag);

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
boolean_t priv_ineffect(const char *name);

priv_set_t *priv_str_to_set(const char *text, const char *separators, const char **end);
char *priv_set_to_str(const priv_set_t *set, char separator, int flag);
int priv_getbyname(const char *name);
const char *priv_getbynum(int number);

#endif
