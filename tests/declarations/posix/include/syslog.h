/* <syslog.h>(0p) */
#ifndef DECLARED_SYSLOG_H
#define DECLARED_SYSLOG_H

/* closelog(3p), which describes openlog() and syslog() */
#define LOG_ERR     3
#define LOG_WARNING 4
#define LOG_INFO    6
#define LOG_DEBUG   7
#define LOG_MAIL    (2 << 3)
#define LOG_PID     0x01
#define LOG_NDELAY  0x08
void openlog(const char *name, int options, int facility);
void syslog(int priority, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
