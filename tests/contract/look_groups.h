/* For the views of the BSDs. */
#ifndef TESTS_CONTRACT_LOOK_GROUPS_H
#define TESTS_CONTRACT_LOOK_GROUPS_H

#include "tests/contract/harness.h"

/* Fills VIEW->groups: sorted, each once, without the effective gid, which some kernels put among them. */
void format_groups(view_t *view, const gid_t *groups, size_t count);

#endif
