import collections

errors = collections.Counter()
with open("inputs/app.log", encoding="utf-8") as log:
    for line in log:
        if " ERROR " in line:
            errors[line[:13]] += 1
with open("hours.csv", "w") as file:
    file.write("hour,errors\n")
    for hour, count in sorted(errors.items()):
        file.write(f"{hour},{count}\n")
print(sum(errors.values()), "errors")
