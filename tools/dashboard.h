/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TOOLS_DASHBOARD_H
#define TOOLS_DASHBOARD_H

/* tools/dashboard.html, as it was when the program was built. */
extern const char dashboard_html[];

#endif
