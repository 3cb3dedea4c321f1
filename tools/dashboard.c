/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/dashboard.h"

/* The bytes of the file, and a NUL; the assembler puts them here (it runs at the root of the tree, as make does). */
__asm__(".pushsection .rodata\n"
        ".global dashboard_html\n"
        "dashboard_html:\n"
        ".incbin \"tools/dashboard.html\"\n"
        ".byte 0\n"
        ".popsection\n");
