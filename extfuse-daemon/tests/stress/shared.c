#include "stress.h"
int shared_run(void) { return 0; }
