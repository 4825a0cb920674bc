/* What both load generators share: a clock, a latency histogram, chance, options, and one line for a failure.
 *
 * The generators must cost little beside what they measure, so nothing here allocates or locks.
 */
#ifndef MEASURE_H
#define MEASURE_H

#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#define NS_PER_S 1000000000LL
#define NS_PER_MS 1000000LL

enum { EXIT_USAGE = 64, EXIT_NO_CONNECTION = 69, EXIT_LOST = 70 };

static void fail(int code, const char *format, ...) __attribute__((noreturn, format(printf, 2, 3)));
static void fail(int code, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    exit(code);
}

/* The first SIGINT or SIGTERM ends the load in order: open sessions come to their end. */
static volatile sig_atomic_t is_stopping;

static void stop(int signal_number) {
    is_stopping = 1;
    signal(signal_number, SIG_DFL);
}

static void stop_on_signals(void) {
    signal(SIGINT, stop);
    signal(SIGTERM, stop);
}

static inline int64_t clock_ns(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return now.tv_sec * NS_PER_S + now.tv_nsec;
}

/* Splitmix64: the same seed gives the same accounts in the same order. */
static inline uint64_t next_random(uint64_t *state) {
    uint64_t z = (*state += 0x9e3779b97f4a7c15ULL);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31);
}

/* Digits of fixed width, so that a template never changes its length. */
static inline void put_digits(uint8_t *end, int width, uint64_t value) {
    while (width-- > 0) {
        *--end = (uint8_t)('0' + value % 10);
        value /= 10;
    }
}

/* Each power of two is cut in 64: a bucket is at most 1.6 % wide, from a nanosecond to centuries. */
#define SUB_BITS 6
#define SUB_COUNT (1 << SUB_BITS)
typedef struct {
    uint64_t count, max_ns, buckets[(64 - SUB_BITS + 1) * SUB_COUNT];
} Histogram;

static inline void record(Histogram *histogram, int64_t elapsed_ns) {
    uint64_t value = elapsed_ns > 0 ? (uint64_t)elapsed_ns : 0;
    int shift = value < SUB_COUNT ? 0 : 63 - __builtin_clzll(value) - SUB_BITS;
    size_t index = value < SUB_COUNT ? value : (size_t)(shift + 1) * SUB_COUNT + (value >> shift) - SUB_COUNT;
    histogram->buckets[index]++;
    histogram->count++;
    if (value > histogram->max_ns) histogram->max_ns = value;
}

/* The upper edge of the bucket in which the share lies, but never more than the largest value seen. */
static double percentile_ms(const Histogram *histogram, double share) {
    uint64_t wanted = (uint64_t)(share * (double)histogram->count), seen = 0;
    for (size_t index = 0; index < sizeof histogram->buckets / sizeof *histogram->buckets; index++) {
        seen += histogram->buckets[index];
        if (seen == 0 || seen <= wanted) continue;
        size_t group = index / SUB_COUNT;
        uint64_t edge = group == 0 ? index : (index % SUB_COUNT + SUB_COUNT + 1) << (group - 1);
        return (double)(edge < histogram->max_ns ? edge : histogram->max_ns) / 1e6;
    }
    return (double)histogram->max_ns / 1e6;
}

static void print_histogram(const char *name, const Histogram *histogram, const char *after) {
    printf("\"%s\": {\"count\": %llu, \"p50_ms\": %.3f, \"p99_ms\": %.3f, \"max_ms\": %.3f}%s", name,
           (unsigned long long)histogram->count, percentile_ms(histogram, 0.50), percentile_ms(histogram, 0.99),
           (double)histogram->max_ns / 1e6, after);
}

/* How often each result code came. The last place takes what does not fit. */
#define CODES_MAX 64
typedef struct {
    uint32_t code;
    uint64_t count;
} CodeCount;

static inline void count_code(CodeCount *codes, uint32_t code) {
    int at = 0;
    while (at < CODES_MAX - 1 && codes[at].count && codes[at].code != code) at++;
    codes[at].code = code;
    codes[at].count++;
}

static inline void print_codes(const char *name, const CodeCount *codes) {
    printf("  \"%s\": {", name);
    for (int at = 0; at < CODES_MAX && codes[at].count; at++)
        printf("%s\"%u\": %llu", at ? ", " : "", codes[at].code, (unsigned long long)codes[at].count);
    printf("},\n");
}

static void print_hex(const char *name, const uint8_t *octets, size_t length) {
    printf("%s ", name);
    for (size_t at = 0; at < length; at++) printf("%02x", octets[at]);
    printf("\n");
}

/* CPU of this process: user and system. */
static long long cpu_us(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000LL + usage.ru_utime.tv_usec +
           usage.ru_stime.tv_usec;
}

/* An option is a number in [least, most], a text, or, with neither, a switch. */
typedef struct {
    const char *name;
    long long *number;
    const char **text;
    long long least, most;
    const char *help;
} Option;

static void read_number(const Option *option, const char *text) {
    char *end;
    *option->number = strtoll(text, &end, 10);
    if (*text == 0 || *end != 0 || *option->number < option->least || *option->number > option->most)
        fail(EXIT_USAGE, "%s takes a number from %lld to %lld, not %s", option->name, option->least, option->most,
             text);
}

static void print_help(const char *program, const Option *options) {
    printf("usage: %s [options]\n", program);
    for (const Option *option = options; option->name; option++) {
        printf("  %-16s %s", option->name, option->help);
        if (option->text && *option->text) printf(" (%s)", *option->text);
        if (option->number && option->most > 1) printf(" (%lld)", *option->number);
        printf("\n");
    }
}

static void read_options(int count, char **words, const Option *options) {
    for (int at = 1; at < count; at++) {
        const Option *option = options;
        if (!strcmp(words[at], "--help")) {
            print_help(words[0], options);
            exit(0);
        }
        while (option->name && strcmp(option->name, words[at]) != 0) option++;
        if (!option->name) fail(EXIT_USAGE, "%s is no option; see --help", words[at]);
        if (option->number && option->most == 1) {
            *option->number = 1;
            continue;
        }
        if (++at == count) fail(EXIT_USAGE, "%s needs a value", option->name);
        if (option->number) read_number(option, words[at]);
        else *option->text = words[at];
    }
}
#endif
