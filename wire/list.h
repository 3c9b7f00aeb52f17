/* wire/list.h - intrusive doubly linked rings: membership without allocation, removal without a search. */
#ifndef WIRE_LIST_H
#define WIRE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct wire_link {
    struct wire_link *prev, *next; /* to itself: in no list */
};

/* The object that holds `link` as its member `member`. */
#define WIRE_ENTRY(link, type, member) ((type *)(void *)((char *)(link)-offsetof(type, member)))

static inline void wire_link_init(struct wire_link *l)
{
    l->prev = l;
    l->next = l;
}

static inline bool wire_link_is_in_list(const struct wire_link *l)
{
    return l->next != l;
}

static inline bool wire_list_is_empty(const struct wire_link *list)
{
    return list->next == list;
}

static inline void wire_link_remove(struct wire_link *l)
{
    l->prev->next = l->next;
    l->next->prev = l->prev;
    wire_link_init(l);
}

/* Puts `l` before `where`; before the head of a list means at its end. */
static inline void wire_link_insert(struct wire_link *where, struct wire_link *l)
{
    l->prev = where->prev;
    l->next = where;
    where->prev->next = l;
    where->prev = l;
}

static inline void wire_list_append(struct wire_link *list, struct wire_link *l)
{
    wire_link_remove(l);
    wire_link_insert(list, l);
}

static inline void wire_list_prepend(struct wire_link *list, struct wire_link *l)
{
    wire_link_remove(l);
    wire_link_insert(list->next, l);
}

/* Moves everything from `from` to the end of `to`. */
static inline void wire_list_splice(struct wire_link *to, struct wire_link *from)
{
    if (wire_list_is_empty(from))
        return;
    from->next->prev = to->prev;
    to->prev->next = from->next;
    from->prev->next = to;
    to->prev = from->prev;
    wire_link_init(from);
}

#endif
