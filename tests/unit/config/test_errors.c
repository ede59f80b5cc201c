/* Bad configurations, each with exactly what an operator is told. */
#include "support.h"

#include <string.h>

#include <apr_strings.h>

typedef struct row {
    const char *text;
    size_t size;
    const char *expected; /* one line for each finding */
} row_t;

/* A text may hold NUL bytes. */
#define TEXT(text) text, sizeof(text) - 1

/* One row is one text and what is said of it; the texts keep their lines. */
/* clang-format off */
static const row_t errors[] = {
    /* ---- lexer */
    {TEXT("user = \"abc"),
     "test.conf:1:1: \"user\" does not belong in the global scope; it belongs in Security\n"
     "test.conf:1:8: the quote that opens here is not closed on its line; write the closing \"\n"},
    {TEXT("Hostname = 'abc"),
     "test.conf:1:12: the quote that opens here is not closed on its line; write the closing '\n"},
    {TEXT("Hostname = \"a\\qb\""),
     "test.conf:1:14: \\q is no escape; between double quotes write \\\\ for a backslash and \\\" for a quote\n"},
    {TEXT("/* never closed\n" "Hostname = a.b"),
     "test.conf:1:1: the comment that opens here is never closed; write the closing */\n"},
    {TEXT("Hostname = a.b /* x"),
     "test.conf:1:16: the comment that opens here is never closed; write the closing */\n"},
    {TEXT("Hostname = \"caf\xe9\""),
     "test.conf:1:12: \"caf�\" is not a host name; letters, digits, '-' and '.' make one\n"
     "test.conf:1:16: the byte 0xe9 is not UTF-8; save the file as UTF-8\n"},
    {TEXT("Hostname = a.b # \xff\xfe\xfd\n" "Max_Recipients = x"),
     "test.conf:1:18: the byte 0xff is not UTF-8; save the file as UTF-8\n"
     "test.conf:2:18: \"x\" is not a number; write decimal digits only\n"},
    {TEXT("Hostname = a\x01" "b"),
     "test.conf:1:12: \"a�b\" is not a host name; letters, digits, '-' and '.' make one\n"
     "test.conf:1:13: the byte 0x01 is a control character; remove it\n"},
    {TEXT("Max_Recipients = 5 \x00 Hostname = a.b"),
     "test.conf:1:20: a NUL byte: this is not a text file; the rest of it was not read\n"},
    {TEXT("Hostname = a.b \xe2\x82"),
     "test.conf:1:16: the byte 0xe2 is not UTF-8; save the file as UTF-8\n"
     "test.conf:1:16: \"�\" follows the value of \"Hostname\"; quote a value that holds spaces, put several into a list ( … )\n"},
    {TEXT("Hostname = \"\xed\xa0\x80\""),
     "test.conf:1:12: \"���\" is not a host name; letters, digits, '-' and '.' make one\n"
     "test.conf:1:13: the byte 0xed is not UTF-8; save the file as UTF-8\n"},
    /* ---- parser */
    {TEXT("Hostname"),
     "test.conf:1:1: \"Hostname\" stands alone; write Hostname = value for an option, Hostname { … } for a scope\n"},
    {TEXT("Hostname mail.example.com\n" "Max_Recipients = 5"),
     "test.conf:1:10: \"mail.example.com\" follows \"Hostname\"; a '=' is missing between them for an option, a '{' behind them for a scope\n"},
    {TEXT("Hostname =\n" "Max_Recipients = 5"),
     "test.conf:1:1: \"Hostname\" has no value; write Hostname = value\n"},
    {TEXT("Hostname = "),
     "test.conf:1:1: \"Hostname\" has no value; write Hostname = value\n"},
    {TEXT("= 5"),
     "test.conf:1:1: '=' without a name before it\n"},
    {TEXT("Hostname = { }"),
     "test.conf:1:1: a scope is written without '='; write Hostname { … }\n"
     "test.conf:1:1: \"Hostname\" is an option, not a scope; write Hostname = value\n"},
    {TEXT("Hostname = )"),
     "test.conf:1:1: \"Hostname\" has no value; write Hostname = value\n"},
    {TEXT("\"Hostname\" = a.b"),
     "test.conf:1:1: \"Hostname\" is quoted where a name should be; names are not quoted\n"},
    {TEXT("( a b )"),
     "test.conf:1:1: '(' where the name of an option or of a scope should be\n"},
    {TEXT("}"),
     "test.conf:1:1: this '}' closes nothing; no scope of this file is open here\n"},
    {TEXT("Security { } }"),
     "test.conf:1:14: this '}' closes nothing; no scope of this file is open here\n"},
    {TEXT("Security {\n" "  user = ecuser"),
     "test.conf:1:1: the scope \"Security\" that opens here is never closed; a '}' is missing\n"},
    {TEXT("Security {\n" "  user = ecuser\n" "ESMTP_Listener { Listen \":25\" { }\n" "Relay_Hosts = ( 127.0.0.0/8 )"),
     "test.conf:1:1: the scope \"Security\" that opens here is never closed; a '}' is missing\n"
     "test.conf:3:1: the scope \"ESMTP_Listener\" that opens here is never closed; a '}' is missing\n"},
    {TEXT("ESMTP_Listener { Listen [::1]:25 { Enable = true } }\n" "Max_Recipients = x"),
     "test.conf:1:25: '[' begins a dictionary, which needs a '=' before it; an address in brackets is quoted: Listen \"[::1]:25\" { … }\n"
     "test.conf:2:18: \"x\" is not a number; write decimal digits only\n"},
    {TEXT("Relay_Hosts = 10.0.0.0/8 10.1.0.0/16"),
     "test.conf:1:26: \"10.1.0.0/16\" follows the value of \"Relay_Hosts\"; quote a value that holds spaces, put several into a list ( … )\n"},
    {TEXT("Relay_Hosts = \"10.0.0.0/8\" \"10.1.0.0/16\""),
     "test.conf:1:28: \"10.1.0.0/16\" follows the value of \"Relay_Hosts\"; quote a value that holds spaces, put several into a list ( … )\n"},
    {TEXT("Security { Privileges = basic net_privaddr }"),
     "test.conf:1:31: \"net_privaddr\" follows the value of \"Privileges\"; quote a value that holds spaces, put several into a list ( … )\n"},
    {TEXT("Relay_Hosts = ( 10.0.0.0/8\n" "Hostname = a.b"),
     "test.conf:1:15: the list that opens here is not closed before '=' on line 2; write the closing ')'\n"},
    {TEXT("Relay_Hosts = ( 10.0.0.0/8 ( 10.1.0.0/16 ) )"),
     "test.conf:1:28: '(' within a list; they do not nest\n"},
    {TEXT("Relay_Hosts = ( 10.0.0.0/8, 10.1.0.0/16 )"),
     "test.conf:1:17: values are not ended or separated by ','; remove it\n"},
    {TEXT("Max_Recipients = 5;"),
     "test.conf:1:18: values are not ended or separated by ';'; remove it\n"},
    {TEXT("Domain \"a.b\" { Aliases = [ postmaster ] }"),
     "test.conf:1:28: \"postmaster\" has no value; a dictionary is [ name = value … ]\n"},
    {TEXT("Domain \"a.b\" { Aliases = [ postmaster = ] }"),
     "test.conf:1:28: \"postmaster\" has no value; a dictionary is [ name = value … ]\n"},
    {TEXT("Domain \"a.b\" { Aliases = [ postmaster = x@a.b\n" "}"),
     "test.conf:1:26: the dictionary that opens here is not closed before '}' on line 2; write the closing ']'\n"},
    {TEXT("include"),
     "test.conf:1:1: include without a path; write include \"path\"\n"},
    {TEXT("include = \"x\""),
     "test.conf:1:1: include without a path; write include \"path\"\n"},
    {TEXT("include \"\""),
     "test.conf:1:9: include of an empty path; name a file or a directory\n"},
    {TEXT("Domain example.com"),
     "test.conf:1:8: \"example.com\" follows \"Domain\"; a '=' is missing between them for an option, a '{' behind them for a scope\n"},
    {TEXT("Hostname = a.b \"c\""),
     "test.conf:1:16: \"c\" follows the value of \"Hostname\"; quote a value that holds spaces, put several into a list ( … )\n"},
    /* ---- names */
    {TEXT("Relay_Host = ( 127.0.0.0/8 )"),
     "test.conf:1:1: unknown option \"Relay_Host\" in the global scope; did you mean Relay_Hosts?\n"},
    {TEXT("Frobnicate = 5"),
     "test.conf:1:1: unknown option \"Frobnicate\" in the global scope; demitd --help-config lists all\n"},
    {TEXT("Frobnicate { }"),
     "test.conf:1:1: unknown scope \"Frobnicate\" in the global scope; demitd --help-config lists all\n"},
    {TEXT("Securty { }"),
     "test.conf:1:1: unknown scope \"Securty\" in the global scope; did you mean Security?\n"},
    {TEXT("Retry = 5"),
     "test.conf:1:1: unknown option \"Retry\" in the global scope; did you mean Retry_Interval?\n"},
    {TEXT("Max-Recipients = 5"),
     "test.conf:1:1: unknown option \"Max-Recipients\" in the global scope; did you mean Max_Recipients?\n"},
    {TEXT("Security { usre = x }"),
     "test.conf:1:12: unknown option \"usre\" in Security; did you mean user?\n"},
    {TEXT("Security { Hostnam = x }"),
     "test.conf:1:12: unknown option \"Hostnam\" in Security; did you mean Hostname, which belongs in the global scope?\n"},
    {TEXT("user = ecuser"),
     "test.conf:1:1: \"user\" does not belong in the global scope; it belongs in Security\n"},
    {TEXT("Security { Relay_Hosts = ( 10.0.0.0/8 ) }"),
     "test.conf:1:12: \"Relay_Hosts\" does not belong in Security; it belongs in the global scope\n"},
    {TEXT("Listen \":25\" { }"),
     "test.conf:1:1: \"Listen\" does not belong in the global scope; it belongs in ESMTP_Listener or Control_Listener\n"},
    {TEXT("Security = x"),
     "test.conf:1:1: \"Security\" is a scope, not an option; write Security { … }\n"},
    {TEXT("Listen = \":25\""),
     "test.conf:1:1: \"Listen\" is a scope, not an option; write Listen \"title\" { … }\n"},
    {TEXT("user { }"),
     "test.conf:1:1: \"user\" is an option, not a scope; write user = value\n"},
    {TEXT("Domain \"a.b\" { Domain \"c.d\" { } }"),
     "test.conf:1:16: \"Domain\" does not belong in Domain; it belongs in the global scope\n"},
    {TEXT("Bind_Address = \"10.0.0.1\""),
     "test.conf:1:1: \"Bind_Address\" does not belong in the global scope; it belongs in Binding or Domain in Binding\n"},
    {TEXT("ESMTP_Listener { Maildir = \"/x/%u\" }"),
     "test.conf:1:18: \"Maildir\" does not belong in ESMTP_Listener; it belongs in the global scope or Domain\n"},
    {TEXT("Max_Recipients = 5\n" "MAX_RECIPIENTS = 6"),
     "test.conf:2:1: \"MAX_RECIPIENTS\" is set twice; the first is on line 1, remove one\n"},
    {TEXT("Security { }\n" "Security { Max_Recipients = 5 }"),
     "test.conf:2:1: \"Security\" is set twice; the first is on line 1, remove one\n"
     "test.conf:2:12: \"Max_Recipients\" does not belong in Security; it belongs in the global scope\n"},
    {TEXT("Max_Recipients = 5\n" "Max_Recipients = x"),
     "test.conf:2:1: \"Max_Recipients\" is set twice; the first is on line 1, remove one\n"
     "test.conf:2:18: \"x\" is not a number; write decimal digits only\n"},
    {TEXT("Security { }\n" "Security { }"),
     "test.conf:2:1: \"Security\" is set twice; the first is on line 1, remove one\n"},
    {TEXT("Domain \"a.b\" { }\n" "Domain \"A.B\" { }"),
     "test.conf:2:1: \"Domain\" \"A.B\" is set twice; the first is on line 1, remove one\n"},
    {TEXT("ESMTP_Listener \"x\" { }"),
     "test.conf:1:16: ESMTP_Listener takes no title; write ESMTP_Listener { … }\n"},
    {TEXT("Domain { }"),
     "test.conf:1:1: Domain has no title; write a domain, like \"example.com\" behind it\n"},
    {TEXT("ESMTP_Listener { Listen { } }"),
     "test.conf:1:18: Listen has no title; write an address, like \"*:25\" behind it\n"},
    {TEXT("Domain \"\" { }"),
     "test.conf:1:8: Domain has no title; write a domain, like \"example.com\" behind it\n"},
    {TEXT("Domain \"x y\" { }"),
     "test.conf:1:8: \"x y\" is not a domain (the domain holds a character that no domain can hold); write example.com, *.example.com or *example.com\n"},
    {TEXT("Domain \"-\xc3\xbc.example\" { }"),
     "test.conf:1:8: \"-\xc3\xbc.example\" is not a domain (a label of the domain begins or ends with a hyphen); write "
     "example.com, *.example.com or *example.com\n"},
    {TEXT("Domain \"\xe2\x9d\xa4.example\" { }"),
     "test.conf:1:8: \"\xe2\x9d\xa4.example\" is not a domain (the domain holds a character that no domain can hold); "
     "write example.com, *.example.com or *example.com\n"},
    {TEXT("Domain \"*\xc3\xbc.example\" { }"),
     "test.conf:1:8: \"*\xc3\xbc.example\" is not a domain (a part of an internationalized label cannot be compared); "
     "write example.com, *.example.com or *example.com\n"},
    {TEXT("Domain \"\xc3\xbc.example\" { }\nDomain \"xn--tda.example\" { }"),
     "test.conf:2:1: \"Domain\" \"xn--tda.example\" is set twice; the first is on line 1, remove one\n"},
    {TEXT("Hostname = \"a_\xc3\xbc.example\""),
     "test.conf:1:12: \"a_\xc3\xbc.example\" is not a host name; letters, digits, '-' and '.' make one\n"},
    {TEXT("Domain \"a.*\" { }"),
     "test.conf:1:8: \"a.*\" is not a domain (the domain holds a character that no domain can hold); write example.com, *.example.com or *example.com\n"},
    /* ---- not supported yet */
    {TEXT("TLS = required"),
     "test.conf:1:7: TLS is not supported yet, except as TLS = no; remove it\n"},
    {TEXT("TLS_CA = \"/etc/ssl/ca.pem\""),
     "test.conf:1:10: TLS_CA is not supported yet; remove it\n"},
    {TEXT("Binding \"a\" { Bind_Address = \"10.1.1.1\" }"),
     "test.conf:1:1: the scope Binding is not supported yet; remove it\n"},
    {TEXT("Cluster { Topology \"10.1.1.0/24\" { interface = \"eth1\" cidrmask = \"32\" } }"),
     "test.conf:1:1: the scope Cluster is not supported yet; remove it\n"},
    {TEXT("ESMTP_Listener { Listen \":25\" { Enable_Duravip = true } }"),
     "test.conf:1:50: Enable_Duravip is not supported yet, except as Enable_Duravip = false; remove it\n"},
    {TEXT("Use_SendFile = true"),
     "test.conf:1:16: Use_SendFile is not supported yet; remove it\n"},
    {TEXT("TimeStampFormat = \"%s\""),
     "test.conf:1:19: TimeStampFormat is not supported yet; remove it\n"},
    {TEXT("ESMTP_Listener { Server_TLS_Key = \"/k\" }"),
     "test.conf:1:35: Server_TLS_Key is not supported yet; remove it\n"},
    /* ---- values */
    {TEXT("Security { Sandbox = on }"),
     "test.conf:1:22: \"on\" is unknown; Sandbox is one of auto, required, off\n"},
    {TEXT("Security { Sandbox_Ports = ( 25 0 65536 smtp ) }"),
     "test.conf:1:33: \"0\" is not a port; write a number from 1 to 65535\n"
     "test.conf:1:35: \"65536\" is not a port; write a number from 1 to 65535\n"
     "test.conf:1:41: \"smtp\" is not a port; write a number from 1 to 65535\n"},
    {TEXT("Security { Sandbox_Paths = ( srv /srv/../etc ) }"),
     "test.conf:1:30: \"srv\" is not an absolute path; begin it with '/'\n"
     "test.conf:1:34: \"/srv/../etc\" goes up by \"..\"; write the path that is meant\n"},
    {TEXT("Sandbox = off"),
     "test.conf:1:1: \"Sandbox\" does not belong in the global scope; it belongs in Security\n"},
    {TEXT("Max_Recipients = many"),
     "test.conf:1:18: \"many\" is not a number; write decimal digits only\n"},
    {TEXT("Max_Recipients = 0"),
     "test.conf:1:18: \"0\" is out of range; Max_Recipients takes 1 to 100000\n"},
    {TEXT("Max_Recipients = 010"),
     "test.conf:1:18: \"010\" is not a number; write decimal digits only\n"},
    {TEXT("Max_Recipients = -1"),
     "test.conf:1:18: \"-1\" is not a number; write decimal digits only\n"},
    {TEXT("Max_Recipients = 99999999999999999999"),
     "test.conf:1:18: \"99999999999999999999\" is out of range; Max_Recipients takes 1 to 100000\n"},
    {TEXT("Max_Recipients = ( 5 )"),
     "test.conf:1:18: Max_Recipients takes one value, not a list or dictionary\n"},
    {TEXT("Max_Message_Size = 50X"),
     "test.conf:1:20: \"50X\" is not a size; write bytes, like 52428800, or with a unit, like 50M (K, M, G, T)\n"},
    {TEXT("Max_Message_Size = 1"),
     "test.conf:1:20: \"1\" is out of range; Max_Message_Size takes 1024 to 1099511627776 bytes\n"},
    {TEXT("Segment_Size = 9999999T"),
     "test.conf:1:16: \"9999999T\" is out of range; Segment_Size takes 1048576 to 1073741824 bytes\n"},
    {TEXT("Retry_Interval = soon"),
     "test.conf:1:18: \"soon\" is not a time; write seconds, like 1200, or with a unit, like 20m (s, m, h, d, w)\n"},
    {TEXT("Retry_Interval = 0"),
     "test.conf:1:18: \"0\" is out of range; Retry_Interval takes 1 to 31622400 seconds\n"},
    {TEXT("Retry_Interval = 53w"),
     "test.conf:1:18: \"53w\" is out of range; Retry_Interval takes 1 to 31622400 seconds\n"},
    {TEXT("Force_Fsync = yes"),
     "test.conf:1:15: \"yes\" is neither true nor false; write one of the two\n"},
    {TEXT("Spool_Mode = 640"),
     "test.conf:1:14: \"640\" is not a mode; write it in octal with a leading zero, like 0640\n"},
    {TEXT("Spool_Mode = 0888"),
     "test.conf:1:14: \"0888\" is not a mode; write it in octal with a leading zero, like 0640\n"},
    {TEXT("Spool_Mode = 01777"),
     "test.conf:1:14: \"01777\" is out of range; a mode is 0 to 0777\n"},
    {TEXT("RFC2822_Lone_LF_in_Body = strict"),
     "test.conf:1:27: \"strict\" is unknown; RFC2822_Lone_LF_in_Body is one of pedantic, ignore, fix\n"},
    {TEXT("Delivery_Method = UUCP"),
     "test.conf:1:19: \"UUCP\" is unknown; Delivery_Method is one of ESMTP, SMTP, LMTP, Maildir\n"},
    {TEXT("Hostname = \"a b\""),
     "test.conf:1:12: \"a b\" is not a host name; letters, digits, '-' and '.' make one\n"},
    {TEXT("Hostname = a..b"),
     "test.conf:1:12: \"a..b\" is not a host name; letters, digits, '-' and '.' make one\n"},
    {TEXT("SpoolBase = spool"),
     "test.conf:1:13: \"spool\" is not an absolute path; begin it with '/'\n"},
    {TEXT("Log = \"demit.log\""),
     "test.conf:1:7: \"demit.log\" is neither stderr, syslog nor an absolute path\n"},
    {TEXT("Relay_Hosts = ( localhost )"),
     "test.conf:1:17: \"localhost\" is neither an address nor a network; write one like 10.0.0.0/8 or \"2001:db8::/32\"\n"},
    {TEXT("Relay_Hosts = ( 10.0.0.0/33 )"),
     "test.conf:1:17: \"10.0.0.0/33\" has no valid prefix length; an IPv4 network has 0 to 32 bits\n"},
    {TEXT("Relay_Hosts = ( \"2001:db8::/129\" )"),
     "test.conf:1:17: \"2001:db8::/129\" has no valid prefix length; an IPv6 network has 0 to 128 bits\n"},
    {TEXT("Relay_Hosts = ( 10.10/16 )"),
     "test.conf:1:17: \"10.10/16\" is neither an address nor a network; write one like 10.0.0.0/8 or \"2001:db8::/32\"\n"},
    {TEXT("Relay_Hosts = [ a = b ]"),
     "test.conf:1:15: Relay_Hosts takes a list: ( a b c )\n"},
    {TEXT("Relay_Domains = ( exam*ple.com \"\" )"),
     "test.conf:1:19: \"exam*ple.com\" is not a domain (the domain holds a character that no domain can hold); write example.com, *.example.com or *example.com\n"
     "test.conf:1:32: \"\" is not a domain (a label of the domain is empty); write example.com, *.example.com or *example.com\n"},
    {TEXT("Nameservers = ( ns1.example.com \"[::1\" )"),
     "test.conf:1:17: \"ns1.example.com\" is not the address of a server; write one like 192.0.2.1 or \"[2001:db8::1]:5353\"\n"
     "test.conf:1:33: \"[::1\" is not the address of a server; write one like 192.0.2.1 or \"[2001:db8::1]:5353\"\n"},
    {TEXT("Domain \"a.b\" { Aliases = ( a ) }"),
     "test.conf:1:26: Aliases takes a dictionary: [ name = value … ]\n"},
    {TEXT("Domain \"a.b\" { Aliases = [ \"a b\" = \"x@a.b\" b = b c = \"@a.b\" d = \"d@\" e = \"e@a b\" ] }"),
     "test.conf:1:28: \"a b\" is not the local part of an address; write what stands before the '@'\n"
     "test.conf:1:48: \"b\" is not an address; write a full one, like \"admin@example.com\"\n"
     "test.conf:1:54: \"@a.b\" is not an address; write a full one, like \"admin@example.com\"\n"
     "test.conf:1:65: \"d@\" is not an address; write a full one, like \"admin@example.com\"\n"
     "test.conf:1:74: \"e@a b\" is not an address; write a full one, like \"admin@example.com\"\n"},
    {TEXT("Domain \"a.b\" { Aliases = [ a = \"x@a.b\" A = \"y@a.b\" ] }"),
     "test.conf:1:40: \"A\" is an alias twice; remove one\n"},
    {TEXT("Recipient_Delimiter = \"ab\""),
     "test.conf:1:23: \"ab\" is not a delimiter; write one character, like \"+\", or \"\" for none\n"},
    {TEXT("Recipient_Delimiter = x"),
     "test.conf:1:23: \"x\" is not a delimiter; write one character, like \"+\", or \"\" for none\n"},
    {TEXT("Gateway = \"fe80::1\""),
     "test.conf:1:11: \"fe80::1\" is not a gateway: an IPv6 address is written in brackets, like [::1]:25\n"},
    {TEXT("Gateway = \"[fe80::1\""),
     "test.conf:1:11: \"[fe80::1\" is not a gateway: the closing ']' is missing\n"},
    {TEXT("Gateway = \"[fe80::1]2525\""),
     "test.conf:1:11: \"[fe80::1]2525\" is not a gateway: after the ']' comes :port or nothing\n"},
    {TEXT("Gateway = \"[mail]:25\""),
     "test.conf:1:11: \"[mail]:25\" is not a gateway: no IPv6 address stands in the brackets\n"},
    {TEXT("Gateway = \"mail:0\""),
     "test.conf:1:11: \"mail:0\" is not a gateway: a port is a number from 1 to 65535\n"},
    {TEXT("Gateway = \"mail:smtp\""),
     "test.conf:1:11: \"mail:smtp\" is not a gateway: a port is a number from 1 to 65535\n"},
    {TEXT("Gateway = \"a host\""),
     "test.conf:1:11: \"a host\" is not a gateway: it is no host name and no address\n"},
    {TEXT("Outbound_Throttle_Messages = 60"),
     "test.conf:1:30: \"60\" is not a throttle; write messages/seconds, like \"60/3\", or none\n"},
    {TEXT("Outbound_Throttle_Messages = \"60/0\""),
     "test.conf:1:30: \"60/0\" is not a throttle; write messages/seconds, like \"60/3\", or none\n"},
    {TEXT("Max_Retries = some"),
     "test.conf:1:15: \"some\" is neither auto, none nor a number\n"},
    {TEXT("Control_Group = \"\""),
     "test.conf:1:17: Control_Group is empty; leave it out for the default\n"},
    {TEXT("Supplemental_Groups = ( a )\n" "Security { Supplemental_Groups = ( a \"\" ) user = \"\" }"),
     "test.conf:1:1: \"Supplemental_Groups\" does not belong in the global scope; it belongs in Security\n"
     "test.conf:2:38: \"\" is empty; remove it\n"
     "test.conf:2:50: user is empty; leave it out for the default\n"},
    {TEXT("Maildir = \"mail/%d/%u\""),
     "test.conf:1:11: \"mail/%d/%u\" is not an absolute path; write one like \"/var/mail/%d/%u\"\n"},
    {TEXT("Maildir = \"/mail/%d\""),
     "test.conf:1:11: \"/mail/%d\" gives all recipients one mailbox; write %u where the local part belongs\n"},
    {TEXT("Maildir = \"/mail/%u\""),
     "test.conf:1:11: \"/mail/%u\" mixes the mailboxes of several domains; write %d where the domain belongs\n"},
    {TEXT("Domain \"*.a.b\" { Maildir = \"/mail/%u\" }"),
     "test.conf:1:28: \"/mail/%u\" mixes the mailboxes of several domains; write %d where the domain belongs\n"},
    {TEXT("Maildir = \"/mail/../%d/%u\""),
     "test.conf:1:11: \"/mail/../%d/%u\" goes up by \"..\"; write the path that is meant\n"},
    {TEXT("Maildir = \"/mail/%d/%x/%u%\""),
     "test.conf:1:11: \"/mail/%d/%x/%u%\" has a '%' with an unknown meaning; known are %u, %d and %%\n"},
    {TEXT("Delivery_Method = Maildir"),
     "test.conf:1:19: Maildir for every domain of the world; write it into the Domain scopes of local domains\n"},
    /* ---- listeners */
    {TEXT("ESMTP_Listener { Listen \"25\" { } }"),
     "test.conf:1:25: \"25\" is no address to listen at: write a ':' before the port, like \":25\"\n"},
    {TEXT("ESMTP_Listener { Listen \"10.0.0.1\" { } }"),
     "test.conf:1:25: \"10.0.0.1\" is no address to listen at: write the port, too, like \"*:25\"\n"},
    {TEXT("ESMTP_Listener { Listen \"::1:25\" { } }"),
     "test.conf:1:25: \"::1:25\" is no address to listen at: an IPv6 address is written in brackets, like [::1]:25\n"},
    {TEXT("ESMTP_Listener { Listen \"localhost:25\" { } }"),
     "test.conf:1:25: \"localhost:25\" is no address to listen at: write an IP address, not a name, like \"127.0.0.1:25\"\n"},
    {TEXT("ESMTP_Listener { Listen \":70000\" { } }"),
     "test.conf:1:25: \":70000\" is no address to listen at: a port is a number from 1 to 65535\n"},
    {TEXT("ESMTP_Listener { Listen \"[]:25\" { } }"),
     "test.conf:1:25: \"[]:25\" is no address to listen at: no IPv6 address stands in the brackets\n"},
    {TEXT("ESMTP_Listener { Listen \"*:25\" { } Listen \":25\" { } }"),
     "test.conf:1:36: Listen \":25\" has the same address as \"*:25\" on line 1; remove one\n"},
    {TEXT("ESMTP_Listener { Listen \"[::]:25\" { } }\n" "ESMTP_Listener { Listen \"[*]:25\" { } }"),
     "test.conf:2:18: Listen \"[*]:25\" has the same address as \"[::]:25\" on line 1; remove one\n"},
    {TEXT("ESMTP_Listener { Listen \"/a\" { } }\n" "Control_Listener { Listen \"/a\" { } }"),
     "test.conf:2:20: Listen \"/a\" has the same address as \"/a\" on line 1; remove one\n"},
    {TEXT("Control_Listener { Listen \"127.0.0.1:9000\" { } }"),
     "test.conf:1:27: \"127.0.0.1:9000\" is no address to listen at: the console listens at a Unix socket only; write its absolute path\n"},
    {TEXT("Control_Listener { Listen \"/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\" { } }"),
     "test.conf:1:27: \"/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa…\" is no address to listen at: the path is longer than a socket's may be\n"},
    /* ---- together */
    {TEXT("Segment_Size = 1048577"),
     "test.conf:1:16: Segment_Size is no multiple of 4096; write 1048576\n"},
    {TEXT("Segment_Size = 1M\n" "Large_Message_Threshold = 1M"),
     "test.conf:2:27: Large_Message_Threshold (1048576) is more than half of Segment_Size (1048576); a message must fit into one segment with room to spare\n"},
    {TEXT("Max_Buffer_Memory = 1M\n" "Large_Message_Threshold = 2M"),
     "test.conf:1:21: Max_Buffer_Memory (1048576) is less than Large_Message_Threshold (2097152); not one message would fit\n"},
    {TEXT("Spool_Mode = 0440"),
     "test.conf:1:14: Spool_Mode keeps the server from its own spool; the owner needs 0600 at least\n"},
    {TEXT("Domain \"a.b\" {\n" "  Delivery_Method = \"Maildir\"\n" "}"),
     "test.conf:2:21: Delivery_Method = Maildir without Maildir; write Maildir = \"/path/%d/%u\"\n"},
    {TEXT("Domain \"a.b\" { Delivery_Method = LMTP }"),
     "test.conf:1:34: Delivery_Method = LMTP without Gateway; write Gateway = \"host:port\" or the path of a socket\n"},
    {TEXT("Domain \"a.b\" { Delivery_Method = LMTP Gateway = \"mail\" }"),
     "test.conf:1:49: LMTP has no usual port; write Gateway = \"mail:24\" or whatever the port is\n"},
    {TEXT("Gateway = \"/run/lmtp\""),
     "test.conf:1:11: a socket as Gateway needs Delivery_Method = LMTP\n"},
    {TEXT("Delivery_Method = LMTP"),
     "test.conf:1:19: Delivery_Method = LMTP without Gateway; write Gateway = \"host:port\" or the path of a socket\n"},
    {TEXT("Gateway = \"mail\"\n" "Domain \"a.b\" { Delivery_Method = LMTP }"),
     "test.conf:1:11: LMTP has no usual port; write Gateway = \"mail:24\" or whatever the port is\n"},
    {TEXT("Max_Retry_Interval = 10"),
     "test.conf:1:22: Max_Retry_Interval (10) is less than Retry_Interval (1200)\n"},
    {TEXT("Domain \"a.b\" { Retry_Interval = 2d }"),
     "test.conf:1:33: Max_Retry_Interval (43200) is less than Retry_Interval (172800)\n"},
};

/* What works and is probably not meant. */
static const row_t warnings[] = {
    {TEXT("Hostname = a.b\n" "Relay_Hosts = ( 0.0.0.0/0 10.0.0.0/8 \"::/0\" )"),
     "test.conf: no mail can be received: no Listen of an ESMTP_Listener is enabled; write ESMTP_Listener { Listen \":25\" {} }\n"
     "test.conf:2:17: \"0.0.0.0/0\" makes this an open relay: all the world may send to anywhere; name your own networks\n"
     "test.conf:2:38: \"::/0\" makes this an open relay: all the world may send to anywhere; name your own networks\n"},
    {TEXT("Hostname = a.b\n" "Relay_Hosts = ( 10.1.1.5/24 \"2001:db8::1/32\" 10.1.1.4/30 )"),
     "test.conf: no mail can be received: no Listen of an ESMTP_Listener is enabled; write ESMTP_Listener { Listen \":25\" {} }\n"
     "test.conf:2:17: \"10.1.1.5/24\" has bits beyond its prefix length, which mean nothing\n"
     "test.conf:2:29: \"2001:db8::1/32\" has bits beyond its prefix length, which mean nothing\n"},
    {TEXT("Hostname = a.b\n" "Relay_Domains = \"*\""),
     "test.conf: no mail can be received: no Listen of an ESMTP_Listener is enabled; write ESMTP_Listener { Listen \":25\" {} }\n"
     "test.conf:2:17: \"*\" makes this an open relay: all the world may send to anywhere; name the domains\n"},
    {TEXT("Hostname = a.b\n" "Domain \"*\" { Delivery_Method = Maildir Maildir = \"/m/%d/%u\" }"),
     "test.conf: no mail can be received: no Listen of an ESMTP_Listener is enabled; write ESMTP_Listener { Listen \":25\" {} }\n"
     "test.conf:2:1: Domain \"*\" takes the mail for every domain of the world; name your own\n"},
    {TEXT("Hostname = a.b\n" "Spool_Mode = 0644"),
     "test.conf: no mail can be received: no Listen of an ESMTP_Listener is enabled; write ESMTP_Listener { Listen \":25\" {} }\n"
     "test.conf:2:14: Spool_Mode lets everybody at the mail in the spool; 0640 or 0600 does not\n"},
    {TEXT("Hostname = a.b\n" "Force_Fsync = false"),
     "test.conf: no mail can be received: no Listen of an ESMTP_Listener is enabled; write ESMTP_Listener { Listen \":25\" {} }\n"
     "test.conf:2:15: Force_Fsync = false: accepted mail is lost when the power fails\n"},
    {TEXT("Hostname = a.b\n" "Max_Connections = 1000\n" "Server_Max_File_Descriptors = 100"),
     "test.conf: no mail can be received: no Listen of an ESMTP_Listener is enabled; write ESMTP_Listener { Listen \":25\" {} }\n"
     "test.conf:2:19: Max_Connections (1000) is more than Server_Max_File_Descriptors (100) lets be open\n"},
    {TEXT("Hostname = a.b\n" "Message_Expiration = 10m"),
     "test.conf: no mail can be received: no Listen of an ESMTP_Listener is enabled; write ESMTP_Listener { Listen \":25\" {} }\n"
     "test.conf:2:22: Message_Expiration (600) is less than Retry_Interval (1200): nothing is tried a second time\n"},
    {TEXT("Hostname = a.b\n" "ESMTP_Listener { Listen \"127.0.0.1:25\" { } }"),
     ""},
    {TEXT("Hostname = a.b\n" "ESMTP_Listener { Listen \"127.0.0.1:25\" { Enable = false } }"),
     "test.conf: no mail can be received: no Listen of an ESMTP_Listener is enabled; write ESMTP_Listener { Listen \":25\" {} }\n"},
};
/* clang-format on */

static void check_row(fixture_t *fixture, const row_t *row, bool is_error)
{
    write_file("test.conf", row->text, row->size);
    loaded_t loaded = load_file(fixture, "test.conf");
    const char *said = report_lines(is_error ? loaded.report.errors : loaded.report.warnings, fixture->pool);
    if (strcmp(said, row->expected) != 0)
        fail_msg("for the text\n%s\nexpected\n%sand got\n%s", row->text, row->expected, said);
    assert_int_equal(loaded.status, is_error ? APR_EINVAL : APR_SUCCESS);
}

static void test_errors(void **state)
{
    for (size_t i = 0; i < sizeof(errors) / sizeof(*errors); i++)
        check_row(*state, &errors[i], true);
}

static void test_warnings(void **state)
{
    for (size_t i = 0; i < sizeof(warnings) / sizeof(*warnings); i++)
        check_row(*state, &warnings[i], false);
}

static void test_all_errors_are_shown_in_order(void **state)
{
    fixture_t *fixture = *state;
    loaded_t loaded = load_text(fixture, "Max_Recipients = a\nFoo_Bar = 1\nSecurity { usr = x\n group = a b\n }\n"
                                         "Hostname = \"a\nSegment_Size = b\n");
    assert_string_equal(
        report_lines(loaded.report.errors, fixture->pool),
        "test.conf:1:18: \"a\" is not a number; write decimal digits only\n"
        "test.conf:2:1: unknown option \"Foo_Bar\" in the global scope; demitd --help-config lists all\n"
        "test.conf:3:12: unknown option \"usr\" in Security; did you mean user?\n"
        "test.conf:4:12: \"b\" follows the value of \"group\"; quote a value that holds spaces, put "
        "several into a list ( … )\n"
        "test.conf:6:12: the quote that opens here is not closed on its line; write the closing \"\n"
        "test.conf:7:16: \"b\" is not a size; write bytes, like 52428800, or with a unit, like 50M (K, "
        "M, G, T)\n");
}

static void test_errors_are_bounded(void **state)
{
    fixture_t *fixture = *state;
    const char *text = "";
    for (int i = 0; i < 150; i++)
        text = apr_psprintf(fixture->pool, "%sqqqq%d = 1\n", text, i);
    loaded_t loaded = load_text(fixture, text);
    assert_int_equal(loaded.report.errors->nelts, 101);
    assert_string_equal(APR_ARRAY_IDX(loaded.report.errors, 100, const char *), "50 more errors are not shown");
}

static void test_long_words_are_cut(void **state)
{
    fixture_t *fixture = *state;
    char *word = apr_pcalloc(fixture->pool, 70001);
    memset(word, 'x', 70000);
    loaded_t loaded = load_text(fixture, apr_pstrcat(fixture->pool, word, " = 1\n", NULL));
    assert_int_equal(loaded.status, APR_EINVAL);
    assert_string_equal(
        APR_ARRAY_IDX(loaded.report.errors, 0, const char *),
        "test.conf:1:1: a word or string of more than 65535 bytes; shorten it, or look for a missing quote");
    for (int i = 0; i < loaded.report.errors->nelts; i++)
        assert_true(strlen(APR_ARRAY_IDX(loaded.report.errors, i, const char *)) < 300);

    word[60000] = '\0';
    const char *const shapes[] = {"%s",
                                  "%s x",
                                  "%s = ",
                                  "%s = {",
                                  "a = %s b",
                                  "%s [",
                                  "a %s",
                                  "%s = \nb = 1",
                                  "a = ( %s",
                                  "\"%s\"",
                                  "include %s",
                                  "Gateway = %s",
                                  "Relay_Hosts = ( %s )",
                                  "ESMTP_Listener { Listen \"[::1%%s]:25\" { } }"};
    for (size_t i = 0; i < sizeof(shapes) / sizeof(*shapes); i++) {
        const char *hole = strstr(shapes[i], "%s");
        char *text =
            apr_pstrcat(fixture->pool, apr_pstrmemdup(fixture->pool, shapes[i], (apr_size_t)(hole - shapes[i])), word,
                        hole + 2, "\n", NULL);
        loaded = load_text(fixture, text);
        assert_int_equal(loaded.status, APR_EINVAL);
        for (int j = 0; j < loaded.report.errors->nelts; j++)
            assert_true(strlen(APR_ARRAY_IDX(loaded.report.errors, j, const char *)) < 500);
    }
}

static void test_nesting_is_bounded(void **state)
{
    fixture_t *fixture = *state;
    const char *text = "";
    for (int i = 0; i < 20; i++)
        text = apr_pstrcat(fixture->pool, text, "a {\n", NULL);
    for (int i = 0; i < 20; i++)
        text = apr_pstrcat(fixture->pool, text, "}\n", NULL);
    loaded_t loaded = load_text(fixture, text);
    const char *said = report_lines(loaded.report.errors, fixture->pool);
    assert_non_null(strstr(said, "test.conf:17:1: scopes are nested deeper than 16\n"));
    assert_null(strstr(said, "closes nothing"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_errors, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_warnings, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_all_errors_are_shown_in_order, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_errors_are_bounded, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_long_words_are_cut, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_nesting_is_bounded, fixture_setup, fixture_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
