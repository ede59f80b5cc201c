/* expect: too few arguments to function */
#include <priv.h>

void parse(const char *text, const priv_set_t **set);
void parse(const char *text, const priv_set_t **set)
{
    *set = priv_str_to_set(text, NULL);
}
