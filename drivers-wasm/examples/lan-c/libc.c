// The few functions of a C library that a driver cannot do without.
//
// Every call has a fresh instance, which the daemon drops afterwards with all its memory. So
// memory is only ever taken, and what is given back may be anything, a literal too.

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { PAGE = 65536, ALIGN = 16 };

// Where the linker's part of the memory ends.
extern uint8_t __heap_base;

static uintptr_t next = (uintptr_t)&__heap_base;

// Before each piece, for realloc.
typedef struct {
  _Alignas(ALIGN) size_t size;
} header;

void abort(void) {
  __builtin_trap();
}

void *malloc(size_t size) {
  uintptr_t start = (next + ALIGN - 1) & ~(uintptr_t)(ALIGN - 1);
  // 64 bits, in which none of this overflows.
  uint64_t end = (uint64_t)start + sizeof(header) + size;
  uint64_t have = (uint64_t)__builtin_wasm_memory_size(0) * PAGE;
  if (end > have) {
    uint64_t pages = (end - have + PAGE - 1) / PAGE;
    if (pages > UINT16_MAX || __builtin_wasm_memory_grow(0, pages) == SIZE_MAX) {
      abort();
    }
  }
  next = end;
  header *piece = (header *)start;
  piece->size = size;
  return piece + 1;
}

void *realloc(void *old, size_t size) {
  void *memory = malloc(size);
  if (old) {
    size_t had = ((header *)old - 1)->size;
    memcpy(memory, old, had < size ? had : size);
  }
  return memory;
}

void free(void *memory) {
  (void)memory;
}

void *memcpy(void *restrict to, const void *restrict from, size_t size) {
  for (size_t i = 0; i < size; i++) {
    ((uint8_t *)to)[i] = ((const uint8_t *)from)[i];
  }
  return to;
}

void *memset(void *to, int byte, size_t size) {
  for (size_t i = 0; i < size; i++) {
    ((uint8_t *)to)[i] = byte;
  }
  return to;
}

size_t strlen(const char *text) {
  size_t length = 0;
  while (text[length]) {
    length++;
  }
  return length;
}
