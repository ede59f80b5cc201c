/* expect: void value not ignored|incompatible type 'void'|invalid operands|void expression|from incompatible type */
#include <stdlib.h>

int close_all(void);
int close_all(void)
{
    int result = closefrom(3);
    return result;
}
