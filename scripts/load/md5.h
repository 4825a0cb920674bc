/* MD5 (RFC 1321), as the authenticators of RADIUS accounting need it (RFC 2866, section 3). */
#ifndef MD5_H
#define MD5_H

#include <stdint.h>
#include <string.h>

typedef struct {
    uint32_t state[4];
    uint64_t length;
    uint8_t block[64];
} Md5;

/* floor(2^32 * abs(sin(i))), RFC 1321 section 3.4. */
static const uint32_t MD5_SINES[64] = {
    0xd76aa478, 0xe8c7b756, 0x242070db, 0xc1bdceee, 0xf57c0faf, 0x4787c62a, 0xa8304613, 0xfd469501,
    0x698098d8, 0x8b44f7af, 0xffff5bb1, 0x895cd7be, 0x6b901122, 0xfd987193, 0xa679438e, 0x49b40821,
    0xf61e2562, 0xc040b340, 0x265e5a51, 0xe9b6c7aa, 0xd62f105d, 0x02441453, 0xd8a1e681, 0xe7d3fbc8,
    0x21e1cde6, 0xc33707d6, 0xf4d50d87, 0x455a14ed, 0xa9e3e905, 0xfcefa3f8, 0x676f02d9, 0x8d2a4c8a,
    0xfffa3942, 0x8771f681, 0x6d9d6122, 0xfde5380c, 0xa4beea44, 0x4bdecfa9, 0xf6bb4b60, 0xbebfbc70,
    0x289b7ec6, 0xeaa127fa, 0xd4ef3085, 0x04881d05, 0xd9d4d039, 0xe6db99e5, 0x1fa27cf8, 0xc4ac5665,
    0xf4292244, 0x432aff97, 0xab9423a7, 0xfc93a039, 0x655b59c3, 0x8f0ccc92, 0xffeff47d, 0x85845dd1,
    0x6fa87e4f, 0xfe2ce6e0, 0xa3014314, 0x4e0811a1, 0xf7537e82, 0xbd3af235, 0x2ad7d2bb, 0xeb86d391,
};
static const uint8_t MD5_SHIFTS[4][4] = {{7, 12, 17, 22}, {5, 9, 14, 20}, {4, 11, 16, 23}, {6, 10, 15, 21}};

static void md5_block(Md5 *md5) {
    uint32_t words[16], a = md5->state[0], b = md5->state[1], c = md5->state[2], d = md5->state[3];
    for (int at = 0; at < 16; at++) {
        const uint8_t *octets = md5->block + 4 * at;
        words[at] = (uint32_t)octets[0] | (uint32_t)octets[1] << 8;
        words[at] |= (uint32_t)octets[2] << 16 | (uint32_t)octets[3] << 24;
    }
    for (int step = 0; step < 64; step++) {
        int round = step / 16, word;
        uint32_t mixed;
        if (round == 0) mixed = (b & c) | (~b & d), word = step;
        else if (round == 1) mixed = (d & b) | (~d & c), word = (5 * step + 1) % 16;
        else if (round == 2) mixed = b ^ c ^ d, word = (3 * step + 5) % 16;
        else mixed = c ^ (b | ~d), word = 7 * step % 16;
        uint32_t sum = a + mixed + MD5_SINES[step] + words[word], shift = MD5_SHIFTS[round][step % 4];
        a = d, d = c, c = b;
        b += sum << shift | sum >> (32 - shift);
    }
    md5->state[0] += a, md5->state[1] += b, md5->state[2] += c, md5->state[3] += d;
}

static void md5_begin(Md5 *md5) {
    *md5 = (Md5){.state = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476}};
}

static void md5_add(Md5 *md5, const void *data, size_t length) {
    const uint8_t *octets = data;
    while (length > 0) {
        size_t filled = md5->length % 64, taken = 64 - filled < length ? 64 - filled : length;
        memcpy(md5->block + filled, octets, taken);
        md5->length += taken, octets += taken, length -= taken;
        if (md5->length % 64 == 0) md5_block(md5);
    }
}

static void md5_end(Md5 *md5, uint8_t digest[16]) {
    uint64_t bits = md5->length * 8;
    uint8_t octets[8];
    for (int at = 0; at < 8; at++) octets[at] = (uint8_t)(bits >> 8 * at);
    md5_add(md5, "\x80", 1);
    while (md5->length % 64 != 56) md5_add(md5, "", 1);
    md5_add(md5, octets, 8);
    for (int at = 0; at < 16; at++) digest[at] = (uint8_t)(md5->state[at / 4] >> 8 * (at % 4));
}
#endif
