/* As much Diameter as a load generator needs: the three credit-control requests of a voice call, encoded once and
 * patched in place, and a walk over the AVPs of an answer.
 *
 * The requests hold what an IMS application server sends (Kamailio's ims_charging): Origin-* twice, the
 * Accounting-Record-* of another application, the vendor-specific application instead of Auth-Application-Id,
 * Service-Information, several Subscription-Ids.
 */
#ifndef DIAMETER_H
#define DIAMETER_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HEADER_OCTETS = 20, TEMPLATE_OCTETS_MAX = 1280, MSISDN_DIGITS = 12, RUN_DIGITS = 10, SESSION_DIGITS = 10 };
enum { FLAG_REQUEST = 0x80, FLAG_PROXIABLE = 0x40, FLAG_RETRANSMITTED = 0x10 };
enum { CMD_CER = 257, CMD_CCR = 272, CMD_DWR = 280, CMD_DPR = 282, APP_CREDIT_CONTROL = 4, VENDOR_3GPP = 10415 };
enum { INITIAL = 1, UPDATE = 2, TERMINATION = 3, MSISDN_PLACES_MAX = 10, HOST_PLACES_MAX = 3, HOST_DIGITS = 2 };

/* Places of what changes from request to request; a place of 0 is not in this template. */
typedef struct {
    uint8_t octets[TEMPLATE_OCTETS_MAX];
    size_t length, session_id, session_id_length, session_end, request_number, event_timestamp, used, call_id_end;
    size_t msisdn_ends[MSISDN_PLACES_MAX], msisdn_places, host_ends[HOST_PLACES_MAX], host_places;
} Template;

static inline void put32(uint8_t *at, uint32_t value) {
    at[0] = (uint8_t)(value >> 24);
    at[1] = (uint8_t)(value >> 16);
    at[2] = (uint8_t)(value >> 8);
    at[3] = (uint8_t)value;
}
static inline uint32_t get32(const uint8_t *at) {
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}
static inline uint32_t get24(const uint8_t *at) { return (uint32_t)at[0] << 16 | (uint32_t)at[1] << 8 | at[2]; }

static void begin_message(Template *t, uint32_t command, uint32_t application, uint8_t flags) {
    memset(t, 0, sizeof *t);
    put32(t->octets, 1u << 24);
    put32(t->octets + 4, (uint32_t)flags << 24 | command);
    put32(t->octets + 8, application);
    t->length = HEADER_OCTETS;
}
static void end_message(Template *t) { put32(t->octets, 1u << 24 | (uint32_t)t->length); }

/* A group is opened, filled, closed: its length is known only then. */
static size_t open_avp(Template *t, uint32_t code, uint32_t vendor, uint8_t flags) {
    size_t start = t->length;
    if (start + 300 > TEMPLATE_OCTETS_MAX) abort(); /* our own templates are shorter */
    put32(t->octets + start, code);
    put32(t->octets + start + 4, (uint32_t)(flags | (vendor ? 0x80 : 0)) << 24);
    if (vendor) put32(t->octets + start + 8, vendor);
    t->length += vendor ? 12 : 8;
    return start;
}
static void close_avp(Template *t, size_t start) {
    put32(t->octets + start + 4, (uint32_t)t->octets[start + 4] << 24 | (uint32_t)(t->length - start));
    t->length = (t->length + 3) & ~(size_t)3; /* the padding is not counted (RFC 6733, section 4.1) */
}
static size_t add_text(Template *t, uint32_t code, uint32_t vendor, uint8_t flags, const char *text) {
    size_t start = open_avp(t, code, vendor, flags), at = t->length;
    memcpy(t->octets + at, text, strlen(text));
    t->length += strlen(text);
    close_avp(t, start);
    return at;
}
static size_t add_u32(Template *t, uint32_t code, uint32_t vendor, uint8_t flags, uint32_t value) {
    size_t start = open_avp(t, code, vendor, flags), at = t->length;
    put32(t->octets + at, value);
    t->length += 4;
    close_avp(t, start);
    return at;
}

/* "c00." before the name: a peer may have one connection only (RFC 6733, section 5.6.4), so each has its own name. */
static size_t add_host(Template *t, uint32_t code, const char *host, const char *rest) {
    char text[200];
    snprintf(text, sizeof text, "c00.%s%s", host, rest);
    size_t at = add_text(t, code, 0, 0x40, text);
    if (t->host_places == HOST_PLACES_MAX) abort();
    t->host_ends[t->host_places++] = at + 1 + HOST_DIGITS;
    return at;
}

/* A text with the subscriber's number inside, marked by '#' for each digit. */
static void add_msisdn(Template *t, uint32_t code, uint32_t vendor, const char *pattern) {
    size_t at = add_text(t, code, vendor, 0x40, pattern);
    const char *last = strrchr(pattern, '#');
    if (t->msisdn_places == MSISDN_PLACES_MAX) abort();
    t->msisdn_ends[t->msisdn_places++] = at + (size_t)(last - pattern) + 1;
}
static void add_subscription(Template *t, uint32_t type, const char *pattern) {
    size_t group = open_avp(t, 443, 0, 0x40);
    add_u32(t, 450, 0, 0x40, type);
    add_msisdn(t, 444, 0, pattern);
    close_avp(t, group);
}
static void add_application(Template *t) {
    size_t group = open_avp(t, 260, 0, 0x40);
    add_u32(t, 266, 0, 0x40, VENDOR_3GPP);
    add_u32(t, 258, 0, 0x40, APP_CREDIT_CONTROL);
    close_avp(t, group);
}
static void add_units(Template *t, uint32_t code, uint32_t seconds, size_t *place) {
    size_t group = open_avp(t, code, 0, 0x40), at = add_u32(t, 420, 0, 0x40, seconds);
    close_avp(t, group);
    if (place) *place = at;
}

typedef struct {
    const char *origin_host, *origin_realm, *destination_realm, *called, *context;
    uint32_t requested_s, started_ntp;
} Names;

static void add_ims_information(Template *t, const Names *names, int type) {
    size_t ims = open_avp(t, 876, VENDOR_3GPP, 0x40), group = open_avp(t, 823, VENDOR_3GPP, 0x40);
    add_text(t, 824, VENDOR_3GPP, 0x40, type == INITIAL ? "INVITE" : "dummy");
    add_u32(t, 888, VENDOR_3GPP, 0x40, 0xffffffff);
    close_avp(t, group);
    add_u32(t, 829, VENDOR_3GPP, 0x40, 0);
    add_u32(t, 862, VENDOR_3GPP, 0x40, 0);
    t->call_id_end = SESSION_DIGITS + add_text(t, 830, VENDOR_3GPP, 0x40, "0000000000@192.0.2.10");
    add_msisdn(t, 831, VENDOR_3GPP, "sip:+############@example.net");
    add_text(t, 832, VENDOR_3GPP, 0x40, names->called);
    group = open_avp(t, 833, VENDOR_3GPP, 0x40);
    add_u32(t, 834, VENDOR_3GPP, 0x40, names->started_ntp);
    close_avp(t, group);
    close_avp(t, ims);
}

/* In the client's own order: the server must not depend on any. */
static void build_request(Template *t, const Names *names, int type) {
    begin_message(t, CMD_CCR, APP_CREDIT_CONTROL, FLAG_REQUEST | FLAG_PROXIABLE);
    t->session_id = add_host(t, 263, names->origin_host, ";0000000000;0000000000");
    t->session_id_length = 4 + strlen(names->origin_host) + 1 + RUN_DIGITS + 1 + SESSION_DIGITS;
    t->session_end = t->session_id + t->session_id_length;
    for (int times = 0; times < 2; times++) {
        add_host(t, 264, names->origin_host, "");
        add_text(t, 296, 0, 0x40, names->origin_realm);
    }
    add_text(t, 283, 0, 0x40, names->destination_realm);
    add_u32(t, 480, 0, 0x40, (uint32_t)type + 1); /* Accounting-Record-Type START, INTERIM, STOP */
    add_u32(t, 485, 0, 0x40, 0);
    add_msisdn(t, 1, 0, "sip:+############@example.net");
    add_text(t, 461, 0, 0x40, names->context);
    size_t service = open_avp(t, 873, VENDOR_3GPP, 0x40);
    add_ims_information(t, names, type);
    close_avp(t, service);
    add_application(t);
    add_u32(t, 416, 0, 0x40, (uint32_t)type);
    t->request_number = add_u32(t, 415, 0, 0x40, 0);
    t->event_timestamp = add_u32(t, 55, 0, 0, names->started_ntp);
    size_t equipment = open_avp(t, 458, 0, 0);
    add_u32(t, 459, 0, 0, 1);
    add_text(t, 460, 0, 0, "00-00-00-00-00-00");
    close_avp(t, equipment);
    add_subscription(t, 0, "############");
    add_subscription(t, 2, "sip:+############@example.net");
    add_u32(t, 455, 0, 0x40, 1);
    size_t group = open_avp(t, 456, 0, 0x40);
    if (type != TERMINATION) add_units(t, 437, names->requested_s, NULL);
    add_u32(t, 439, 0, 0x40, 1000);
    add_u32(t, 432, 0, 0x40, 100);
    if (type != INITIAL) add_units(t, 446, 0, &t->used);
    close_avp(t, group);
    if (type == TERMINATION) add_u32(t, 295, 0, 0x40, 1);
    end_message(t);
}

static void build_capabilities(Template *t, const Names *names) {
    begin_message(t, CMD_CER, 0, FLAG_REQUEST);
    add_host(t, 264, names->origin_host, "");
    add_text(t, 296, 0, 0x40, names->origin_realm);
    size_t address = open_avp(t, 257, 0, 0x40);
    memcpy(t->octets + t->length, "\0\1\177\0\0\1", 6);
    t->length += 6;
    close_avp(t, address);
    add_u32(t, 266, 0, 0x40, VENDOR_3GPP);
    add_text(t, 269, 0, 0, "load generator");
    add_application(t);
    add_u32(t, 258, 0, 0x40, APP_CREDIT_CONTROL);
    add_u32(t, 265, 0, 0x40, VENDOR_3GPP);
    end_message(t);
}

/* The answer to a watchdog or disconnect request of the server. */
static void build_base_answer(Template *t, const Names *names, const uint8_t *request) {
    begin_message(t, get24(request + 5), 0, 0);
    memcpy(t->octets + 12, request + 12, 8);
    add_u32(t, 268, 0, 0x40, 2001);
    add_host(t, 264, names->origin_host, "");
    add_text(t, 296, 0, 0x40, names->origin_realm);
    end_message(t);
}

typedef struct {
    const uint8_t *at, *end, *data;
    uint32_t code;
    size_t length;
} Walk;

/* 1: the next AVP is there; 0: there is none; -1: its length is wrong. */
static int next_avp(Walk *walk) {
    if (walk->end - walk->at < 8) return walk->at == walk->end ? 0 : -1;
    size_t length = get24(walk->at + 5), header = walk->at[4] & 0x80 ? 12 : 8, padded = (length + 3) & ~(size_t)3;
    if (length < header || padded > (size_t)(walk->end - walk->at)) return -1;
    walk->code = get32(walk->at);
    walk->data = walk->at + header;
    walk->length = length - header;
    walk->at += padded;
    return 1;
}
#endif
