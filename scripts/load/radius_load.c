/* Plays calls as RADIUS accounting (Start, Interim-Updates, Stop) over UDP, as cheaply as it can, and measures.
 *
 * A slot is one call with one request under way. Each slot owns four identifiers of its socket and takes them in
 * turn, so that a late answer cannot be taken for the next one. What is not answered within two seconds is sent again,
 * octet for octet (RFC 5080, section 2.2.1); the answer's authenticator is checked (RFC 2866, section 3).
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <unistd.h>

#include "md5.h"
#include "measure.h"

enum { SLOTS_MAX = 4096, SLOTS_PER_SOCKET = 64, SOCKETS_MAX = SLOTS_MAX / SLOTS_PER_SOCKET, PACKET_OCTETS_MAX = 512 };
enum { IDENTIFIERS_PER_SLOT = 256 / SLOTS_PER_SOCKET, HEADER_OCTETS = 20, MSISDN_DIGITS = 12 };
enum { ACCOUNTING_REQUEST = 4, ACCOUNTING_RESPONSE = 5, START = 1, STOP = 2, INTERIM = 3 };
enum { TRANSMISSIONS_MAX = 5 };

static struct {
    const char *host, *secret, *called, *prefix, *nas, *ledger;
    long long port, sockets, in_flight, accounts, first_account, seconds, calls, interims, step_s, seed, run, dump;
    long long drain_s, retransmit_ms;
} options = {.host = "127.0.0.1", .secret = "testing123", .called = "442079460123", .prefix = "4915",
             .nas = "load", .port = 1813, .sockets = 4, .in_flight = 64, .accounts = 10000, .seconds = 10,
             .calls = 1LL << 40, .interims = 2, .step_s = 60, .seed = 1, .drain_s = 30,
             .retransmit_ms = 2000};

static const Option OPTIONS[] = {
    {"--host", NULL, &options.host, 0, 0, "address of the server"},
    {"--port", &options.port, NULL, 1, 65535, "its accounting port"},
    {"--secret", NULL, &options.secret, 0, 0, "the shared secret"},
    {"--connections", &options.sockets, NULL, 1, SOCKETS_MAX, "UDP sockets; never fewer than one for 64 in flight"},
    {"--in-flight", &options.in_flight, NULL, 1, SLOTS_MAX, "requests under way, over all sockets"},
    {"--accounts", &options.accounts, NULL, 1, 99999999, "how many numbers call"},
    {"--first-account", &options.first_account, NULL, 0, 99999999, "the lowest of them"},
    {"--prefix", NULL, &options.prefix, 0, 0, "four digits before the eight of the account"},
    {"--called", NULL, &options.called, 0, 0, "Called-Station-Id"},
    {"--nas", NULL, &options.nas, 0, 0, "NAS-Identifier"},
    {"--seconds", &options.seconds, NULL, 1, 86400, "start no call after so many seconds"},
    {"--sessions", &options.calls, NULL, 1, 1LL << 40, "start at most so many calls"},
    {"--interims", &options.interims, NULL, 0, 1000, "Interim-Updates per call"},
    {"--step", &options.step_s, NULL, 1, 86400, "seconds of call between two records"},
    {"--seed", &options.seed, NULL, 0, 1LL << 60, "chance"},
    {"--run", &options.run, NULL, 0, 9999999999LL, "number of this run in every Acct-Session-Id; 0: the time"},
    {"--drain-seconds", &options.drain_s, NULL, 1, 3600, "how long open calls may take to end"},
    {"--retransmit-ms", &options.retransmit_ms, NULL, 10, 60000, "an answer may take so long"},
    {"--ledger", NULL, &options.ledger, 0, 0, "file for every answer that arrived"},
    {"--dump", &options.dump, NULL, 0, 1, "print one call's packets as hex and stop"},
    {0},
};

typedef struct {
    bool is_pending;
    uint64_t call, account;
    int record, socket, position, transmissions;
    uint32_t turn, interims, used_s;
    int64_t first_sent_ns, sent_ns;
    size_t length;
    uint8_t packet[PACKET_OCTETS_MAX];
} Slot;

static Slot slots[SLOTS_MAX];
static int sockets[SOCKETS_MAX];
static Histogram latency[INTERIM + 1]; /* 0: all records */
static unsigned long long calls_started, calls_ended, calls_lost, answers;
static unsigned long long retransmissions, bad_answers, late_answers, octets_sent;
static uint64_t chance;
static size_t packet_octets;
static int64_t now_ns, deadline_ns;
static FILE *ledger;

/* ---- packets --------------------------------------------------------------------------------------------------- */

static void add_attribute(Slot *slot, uint8_t type, const void *value, size_t length) {
    uint8_t *at = slot->packet + slot->length;
    at[0] = type;
    at[1] = (uint8_t)(length + 2);
    memcpy(at + 2, value, length);
    slot->length += length + 2;
}
static void add_text(Slot *slot, uint8_t type, const char *text) { add_attribute(slot, type, text, strlen(text)); }
static void add_u32(Slot *slot, uint8_t type, uint32_t value) {
    uint32_t ordered = htonl(value);
    add_attribute(slot, type, &ordered, 4);
}
/* Vendor 9 (Cisco): text attributes inside attribute 26. */
static void add_cisco(Slot *slot, uint8_t type, const char *text) {
    uint8_t value[128] = {0, 0, 0, 9, type, (uint8_t)(strlen(text) + 2)};
    memcpy(value + 6, text, strlen(text));
    add_attribute(slot, 26, value, strlen(text) + 6);
}
static void add_msisdn(Slot *slot, uint8_t type) {
    char digits[MSISDN_DIGITS + 1] = "############";
    memcpy(digits, options.prefix, 4);
    put_digits((uint8_t *)digits + MSISDN_DIGITS, MSISDN_DIGITS - 4, slot->account);
    add_text(slot, type, digits);
}

/* MD5 over code, identifier, length, an authenticator, the attributes and the secret (RFC 2866, section 3). */
static void authenticate(const uint8_t *packet, size_t length, const uint8_t authenticator[16], uint8_t digest[16]) {
    Md5 md5;
    md5_begin(&md5);
    md5_add(&md5, packet, 4);
    md5_add(&md5, authenticator, 16);
    md5_add(&md5, packet + HEADER_OCTETS, length - HEADER_OCTETS);
    md5_add(&md5, options.secret, strlen(options.secret));
    md5_end(&md5, digest);
}

static void build_packet(Slot *slot) {
    static const uint8_t zeros[16];
    char session_id[] = "0000000000-0000000000";
    put_digits((uint8_t *)session_id + 10, 10, (uint64_t)options.run);
    put_digits((uint8_t *)session_id + 21, 10, slot->call);
    slot->packet[0] = ACCOUNTING_REQUEST;
    slot->packet[1] = (uint8_t)(slot->position * IDENTIFIERS_PER_SLOT + (int)(slot->turn++ % IDENTIFIERS_PER_SLOT));
    slot->length = HEADER_OCTETS;
    add_u32(slot, 40, (uint32_t)slot->record);
    add_text(slot, 44, session_id);
    add_msisdn(slot, 1);
    add_msisdn(slot, 31);
    add_text(slot, 30, options.called);
    add_u32(slot, 4, 0x7f000001);
    add_text(slot, 32, options.nas);
    add_u32(slot, 61, 5);
    add_u32(slot, 6, 1);
    add_u32(slot, 41, 0);
    add_u32(slot, 55, (uint32_t)(clock_ns(CLOCK_REALTIME_COARSE) / NS_PER_S));
    add_cisco(slot, 26, "h323-call-origin=answer");
    add_cisco(slot, 27, "h323-call-type=VoIP");
    if (slot->record != START) add_u32(slot, 46, slot->used_s);
    if (slot->record == STOP) add_u32(slot, 49, 1);
    slot->packet[2] = (uint8_t)(slot->length >> 8);
    slot->packet[3] = (uint8_t)slot->length;
    authenticate(slot->packet, slot->length, zeros, slot->packet + 4);
    packet_octets = slot->length > packet_octets ? slot->length : packet_octets;
}

static void transmit(Slot *slot) {
    slot->sent_ns = now_ns;
    slot->transmissions++;
    octets_sent += slot->length;
    /* A full socket buffer loses the packet as a full network would; the retransmission cures it. */
    if (send(sockets[slot->socket], slot->packet, slot->length, 0) < 0 && errno != EAGAIN && errno != ECONNREFUSED)
        fail(EXIT_LOST, "%s:%lld: %s", options.host, options.port, strerror(errno));
}

static void next_record(Slot *slot, int record_type, uint32_t used_s) {
    slot->record = record_type;
    slot->used_s = used_s;
    slot->is_pending = true;
    slot->transmissions = 0;
    slot->first_sent_ns = now_ns;
    build_packet(slot);
    transmit(slot);
}

/* ---- calls ----------------------------------------------------------------------------------------------------- */

static bool may_start(void) {
    return !is_stopping && now_ns < deadline_ns && calls_started < (unsigned long long)options.calls;
}

static void start_call(Slot *slot) {
    slot->is_pending = false;
    if (!may_start()) return;
    slot->call = calls_started++;
    slot->account = (uint64_t)options.first_account + next_random(&chance) % (uint64_t)options.accounts;
    slot->interims = 0;
    next_record(slot, START, 0);
}

static void write_ledger(const Slot *slot) {
    if (!ledger) return;
    fprintf(ledger, "%010lld-%010llu\t%s%08llu\t%d\t%u\t%d\n", options.run, (unsigned long long)slot->call,
            options.prefix, (unsigned long long)slot->account, slot->record, slot->used_s, slot->transmissions);
}

static void advance(Slot *slot) {
    uint32_t used_s = slot->used_s + (uint32_t)options.step_s;
    if (slot->record == STOP) {
        calls_ended++;
        start_call(slot);
    } else if (slot->interims < options.interims) {
        slot->interims++;
        next_record(slot, INTERIM, used_s);
    } else {
        next_record(slot, STOP, used_s);
    }
}

static void on_datagram(int socket_at, const uint8_t *packet, size_t length) {
    uint8_t digest[16];
    if (length < HEADER_OCTETS || packet[0] != ACCOUNTING_RESPONSE || (size_t)(packet[2] << 8 | packet[3]) != length) {
        bad_answers++;
        return;
    }
    int at = socket_at + packet[1] / IDENTIFIERS_PER_SLOT * (int)options.sockets;
    Slot *slot = &slots[at];
    if (at >= options.in_flight || !slot->is_pending || slot->packet[1] != packet[1]) {
        late_answers++;
        return;
    }
    authenticate(packet, length, slot->packet + 4, digest);
    if (memcmp(digest, packet + 4, 16) != 0) {
        bad_answers++;
        return;
    }
    answers++;
    record(&latency[slot->record], now_ns - slot->first_sent_ns);
    record(&latency[0], now_ns - slot->first_sent_ns);
    write_ledger(slot);
    advance(slot);
}

/* ---- the loop -------------------------------------------------------------------------------------------------- */

static void look_at_time(void) {
    for (int at = 0; at < options.in_flight; at++) {
        Slot *slot = &slots[at];
        if (!slot->is_pending || now_ns - slot->sent_ns < options.retransmit_ms * NS_PER_MS) continue;
        if (slot->transmissions == TRANSMISSIONS_MAX) {
            calls_lost++;
            start_call(slot);
            continue;
        }
        retransmissions++;
        transmit(slot);
    }
}

static int count_busy(void) {
    int busy = 0;
    for (int at = 0; at < options.in_flight; at++) busy += slots[at].is_pending;
    return busy;
}

static void serve_sockets(void) {
    struct pollfd polls[SOCKETS_MAX];
    uint8_t packet[4096];
    for (int at = 0; at < options.sockets; at++) polls[at] = (struct pollfd){.fd = sockets[at], .events = POLLIN};
    poll(polls, (nfds_t)options.sockets, 10);
    now_ns = clock_ns(CLOCK_MONOTONIC);
    for (int at = 0; at < options.sockets; at++) {
        ssize_t length;
        /* An ICMP "port unreachable" also comes by recv: it is an answer lost, no more. */
        while (polls[at].revents && (length = recv(sockets[at], packet, sizeof packet, 0)) >= 0)
            on_datagram(at, packet, (size_t)length);
    }
}

static uint64_t run(int64_t *measured_ns) {
    int64_t started_ns = now_ns, looked_ns = now_ns, end_ns = deadline_ns + options.drain_s * NS_PER_S;
    uint64_t measured = 0;
    *measured_ns = 0;
    for (int at = 0; at < options.in_flight; at++) start_call(&slots[at]);
    for (;;) {
        serve_sockets();
        if (now_ns - looked_ns > 20 * NS_PER_MS) looked_ns = now_ns, look_at_time();
        bool is_over = !may_start(), is_idle = is_over && count_busy() == 0;
        if (*measured_ns == 0 && (is_idle || is_stopping || now_ns >= deadline_ns)) {
            *measured_ns = now_ns - started_ns;
            measured = answers;
            end_ns = now_ns + options.drain_s * NS_PER_S;
        }
        if (is_idle || now_ns > end_ns) return measured;
    }
}

static void print_result(uint64_t measured, int64_t measured_ns) {
    double seconds = (double)measured_ns / 1e9;
    printf("{\n  \"seconds\": %.3f, \"answers\": %llu, ", seconds, answers);
    printf("\"answers_per_s\": %.0f,\n", seconds > 0 ? (double)measured / seconds : 0.0);
    printf("  \"sessions\": {\"started\": %llu, \"ended\": %llu, \"lost\": %llu, \"unfinished\": %d},\n",
           calls_started, calls_ended, calls_lost, count_busy());
    printf("  \"sockets\": %lld, \"in_flight\": %lld, \"accounts\": %lld, \"run\": %lld,\n", options.sockets,
           options.in_flight, options.accounts, options.run);
    printf("  \"latency\": {");
    print_histogram("all", &latency[0], ", ");
    print_histogram("start", &latency[START], ", ");
    print_histogram("interim", &latency[INTERIM], ", ");
    print_histogram("stop", &latency[STOP], "},\n");
    printf("  \"retransmissions\": %llu, \"late_answers\": %llu, \"bad_answers\": %llu,\n",
           retransmissions, late_answers, bad_answers);
    printf("  \"request_octets\": %zu, \"octets_sent\": %llu, \"client_cpu_us\": %lld\n}\n", packet_octets,
           octets_sent, cpu_us());
}

static void dump_call(void) {
    const int records[] = {START, INTERIM, STOP};
    for (size_t at = 0; at < sizeof records / sizeof *records; at++) {
        slots[0].record = records[at];
        slots[0].used_s = (uint32_t)(at * (size_t)options.step_s);
        slots[0].account = (uint64_t)options.first_account;
        build_packet(&slots[0]);
        const char *name = records[at] == START ? "start" : records[at] == STOP ? "stop" : "interim";
        print_hex(name, slots[0].packet, slots[0].length);
    }
}

static void open_sockets(void) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)options.port)};
    if (inet_pton(AF_INET, options.host, &address.sin_addr) != 1)
        fail(EXIT_USAGE, "%s is no IPv4 address", options.host);
    for (int at = 0; at < options.sockets; at++) {
        sockets[at] = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (connect(sockets[at], (struct sockaddr *)&address, sizeof address) < 0)
            fail(EXIT_NO_CONNECTION, "%s:%lld: %s", options.host, options.port, strerror(errno));
    }
}

static void prepare(void) {
    const char *texts[] = {options.secret, options.called, options.nas};
    for (size_t at = 0; at < sizeof texts / sizeof *texts; at++)
        if (strlen(texts[at]) > 60) fail(EXIT_USAGE, "%s is longer than 60 characters", texts[at]);
    if (strlen(options.prefix) != 4 || strspn(options.prefix, "0123456789") != 4)
        fail(EXIT_USAGE, "--prefix takes four digits");
    long long needed = (options.in_flight + SLOTS_PER_SOCKET - 1) / SLOTS_PER_SOCKET;
    if (options.sockets < needed) options.sockets = needed;
    if (options.run == 0) options.run = clock_ns(CLOCK_REALTIME) / NS_PER_S % 10000000000LL;
    chance = (uint64_t)options.seed;
    now_ns = clock_ns(CLOCK_MONOTONIC);
    deadline_ns = now_ns + options.seconds * NS_PER_S;
    for (int at = 0; at < options.in_flight; at++) {
        slots[at].socket = at % (int)options.sockets;
        slots[at].position = at / (int)options.sockets;
    }
}

int main(int count, char **words) {
    read_options(count, words, OPTIONS);
    prepare();
    if (options.dump) {
        dump_call();
        return 0;
    }
    if (options.ledger && !(ledger = fopen(options.ledger, "w")))
        fail(EXIT_USAGE, "%s: %s", options.ledger, strerror(errno));
    open_sockets();
    stop_on_signals();
    int64_t measured_ns;
    uint64_t measured = run(&measured_ns);
    print_result(measured, measured_ns);
    if (ledger && fclose(ledger) != 0) fail(EXIT_LOST, "%s: %s", options.ledger, strerror(errno));
    return answers == 0 ? EXIT_NO_CONNECTION : count_busy() ? EXIT_LOST : 0;
}
